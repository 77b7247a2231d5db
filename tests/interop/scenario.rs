//! What is tried with each pairing.

use crate::pairing::Pairing;
use crate::stage::Stage;
use crate::{bytes, changes, ends, policies};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The mesh that it needs; those with the same needs share one.
    pub(crate) needs: Needs,
    pub(crate) run: fn(&mut Stage) -> Outcome,
}

/// What a mesh is made like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// As usual, with tunnels that are closed soon when idle.
    Usual,
    /// Certificates that live for seconds.
    ShortCertificates,
    /// The other proxy asks for what it needs, when it needs it. Ours refuses the setting: it always knows everything.
    OnDemand,
}

/// How a scenario ended, when it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As with no proxy at all.
    Same,
    /// In another way that is known of the other proxy, whoever is its peer.
    Differs(&'static str),
}

/// All of them, in the order of the table.
pub(crate) const SCENARIOS: &[Scenario] = &[
    usual("http", bytes::http),
    usual("volume", bytes::volume),
    usual("many-streams", bytes::many_streams),
    usual("idle-then-reuse", bytes::idle_then_reuse),
    usual("big-headers", bytes::big_headers),
    usual("half-close-client", ends::half_close_client),
    usual("half-close-server", ends::half_close_server),
    usual("reset-by-server", ends::reset_by_server),
    usual("reset-by-client", ends::reset_by_client),
    usual("closed-port", ends::closed_port),
    usual("denied-by-policy", policies::denied_by_policy),
    usual("policy-cuts", policies::policy_cuts),
    usual("plaintext-peer", policies::plaintext_peer),
    usual("server-restart", changes::server_restart),
    usual("client-restart", changes::client_restart),
    Scenario { name: "rotation", needs: Needs::ShortCertificates, run: changes::rotation },
    Scenario { name: "on-demand", needs: Needs::OnDemand, run: changes::on_demand },
];

const fn usual(name: &'static str, run: fn(&mut Stage) -> Outcome) -> Scenario {
    Scenario { name, needs: Needs::Usual, run }
}

impl Scenario {
    /// Whether it says anything about this pairing.
    pub(crate) fn concerns(&self, pairing: &Pairing) -> bool {
        match self.needs {
            Needs::Usual | Needs::ShortCertificates => true,
            Needs::OnDemand => pairing.foreign(),
        }
    }
}
