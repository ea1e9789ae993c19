//! Pieces of CEL that several rules share.

/// Durations in Go's form, of whole hours, minutes and seconds in that order; the digits are bounded, so that the
/// conversion never overflows.
pub(in crate::api) const DURATION: &str = "^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?$";
/// Name of most Kubernetes objects: a DNS subdomain.
pub(in crate::api) const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Key of a Secret or ConfigMap.
pub(in crate::api) const DATA_KEY: &str = "^[-._a-zA-Z0-9]{1,253}$";
/// Name of an organization.
pub(in crate::api) const ORGANIZATION: &str = "[A-Za-z0-9_-]+";
/// Name of a team: nothing that has a meaning in a path, a list or a pattern.
pub(in crate::api) const TEAM: &str = r"[^/,*\s\pC]([^/,*\pC]*[^/,*\s\pC])?";

/// `value` is a duration.
pub(in crate::api) fn is_duration(value: &str) -> String {
    format!("({value} != '' && {value}.matches('{DURATION}'))")
}

/// Says how a duration of `field` is written.
pub(in crate::api) fn duration_message(field: &str, example: &str) -> String {
    format!(
        "{field} must be a duration of whole hours, minutes and seconds in that order, e.g. {example} or 1h30m \
         (there is no unit for days: 30 days are 720h)"
    )
}

/// The duration is at least `least`; one that is malformed is another rule's to refuse.
pub(in crate::api) fn at_least(least: &str) -> String {
    format!("!{} || duration(self) >= duration('{least}')", is_duration("self"))
}

/// `rule` holds where all `fields` are given and are durations.
pub(in crate::api) fn where_durations(fields: &[&str], rule: &str) -> String {
    let guards: String =
        fields.iter().map(|f| format!("!has(self.{f}) || !{} || ", is_duration(&format!("self.{f}")))).collect();
    format!("{guards}{rule}")
}

/// Seconds of a duration field.
pub(in crate::api) fn seconds(field: &str) -> String {
    format!("duration(self.{field}).getSeconds()")
}

/// An optional field keeps its value, and is neither added nor removed.
pub(in crate::api) fn immutable(field: &str) -> String {
    format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})")
}
