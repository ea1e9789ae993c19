// Taken for its CRDs alone (build.sh, `files`); nothing of it is built.
module testbed/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
