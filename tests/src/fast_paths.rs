//! The switches of ztunnel's fast paths, and how a whole test run turns them off: `AMBIT_TEST_FAST_PATHS=off`.

use std::collections::BTreeMap;

/// One fast path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The setting of ztunnel.
    pub name: &'static str,
    /// Its value with the fast path, which is the default.
    pub fast: &'static str,
    /// Its value without.
    pub plain: &'static str,
}

/// All of them.
pub const SWITCHES: &[Switch] = &[
    Switch { name: "AMBIT_TUNNEL_ENGINE", fast: "own", plain: "library" },
    Switch { name: "AMBIT_TUNNEL_WINDOWS", fast: "growing", plain: "fixed" },
    Switch { name: "AMBIT_TLS_RECORDS", fast: "own", plain: "library" },
    Switch { name: "AMBIT_TLS_RESUMPTION", fast: "on", plain: "off" },
    Switch { name: "AMBIT_SAME_NODE", fast: "handover", plain: "tunnel" },
    Switch { name: "AMBIT_SPLICE", fast: "on", plain: "off" },
];

/// What turns these fast paths off.
pub fn off(switches: &[Switch]) -> BTreeMap<String, String> {
    switches.iter().map(|switch| (switch.name.to_owned(), switch.plain.to_owned())).collect()
}

/// The settings that this test run asks for: none, or every fast path off.
pub fn of_this_run() -> BTreeMap<String, String> {
    match std::env::var("AMBIT_TEST_FAST_PATHS").as_deref() {
        Err(_) | Ok("on") => BTreeMap::new(),
        Ok("off") => off(SWITCHES),
        Ok(other) => panic!("AMBIT_TEST_FAST_PATHS is {other:?}; it can be on or off"),
    }
}
