// Taken for its CRD alone (build.sh, `files`); nothing of it is built.
module testbed/kustomize-controller

go 1.26.0

require github.com/fluxcd/kustomize-controller v1.7.3 // indirect
