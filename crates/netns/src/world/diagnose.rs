//! Which setting of the machine forbids user namespaces, and what is to be done about it?

/// What to do. `read` gives a file's text, `None` when it is absent.
pub(super) fn remedy(read: impl Fn(&str) -> Option<String>) -> &'static str {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        "run as root, or allow them with `sysctl user.max_user_namespaces=15000`"
    } else if is("/proc/sys/user/max_net_namespaces", "0") {
        "allow network namespaces with `sysctl user.max_net_namespaces=15000`"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "run as root, or allow them with `sysctl kernel.unprivileged_userns_clone=1`"
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "run as root, or allow them with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else {
        "run as root; in a container, start it with --privileged or with a seccomp profile that allows unshare"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_remedy() {
        let with = |wanted: &'static str, value: &'static str| {
            remedy(move |path| (path == wanted).then(|| format!("{value}\n")))
        };
        assert!(with("/proc/sys/user/max_user_namespaces", "0").contains("user.max_user_namespaces"));
        assert!(with("/proc/sys/user/max_net_namespaces", "0").contains("user.max_net_namespaces"));
        assert!(
            with("/proc/sys/kernel/unprivileged_userns_clone", "0").contains("unprivileged_userns_clone=1")
        );
        let apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
        assert!(with(apparmor, "1").contains("apparmor_restrict_unprivileged_userns=0"));
        assert!(with(apparmor, "0").contains("--privileged"));
        assert!(remedy(|_| None).contains("--privileged"));
    }
}
