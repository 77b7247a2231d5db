//! How do rules get into nf_tables, by netlink alone and in one atomic step?

mod batch;
mod compile;
mod expression;
mod read;

use super::renderer::{Applied, Backend, Drift, Renderer};
use super::{Chain, Hook, RedirectOptions, RuleError, RuleSet, Stage, redirection, routing, succession};
use batch::Batch;

/// Our private table, of family `inet`.
const TABLE: &str = "ambit";

/// The native renderer: a table `inet ambit` of our own, replaced as a whole in one transaction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nftables;

impl Nftables {
    /// Whether the kernel takes the rules, in the current namespace. Nothing is changed: the transaction is sent
    /// without its end.
    pub fn probe() -> Result<Self, RuleError> {
        let mut batch = Batch::begin();
        replace(&mut batch, &redirection(&RedirectOptions::default()));
        batch.dry_run().map_err(|error| match error {
            RuleError::Refused { part, reason } => {
                RuleError::Unsupported { backend: "nftables", reason: format!("{part}: {reason}") }
            }
            other => other,
        })?;
        Ok(Self)
    }
}

impl Renderer for Nftables {
    fn apply(&self, rules: &RuleSet) -> Result<Applied, RuleError> {
        let mut applied = routing::apply(&rules.routing)?;
        applied.skipped.extend(succession::apply());
        let mut batch = Batch::begin();
        replace(&mut batch, rules);
        batch.commit()?;
        Ok(applied)
    }

    fn verify(&self, rules: &RuleSet) -> Result<Vec<Drift>, RuleError> {
        let mut drifts = read::compare(rules)?;
        drifts.extend(routing::verify(&rules.routing)?);
        drifts.extend(succession::verify());
        Ok(drifts)
    }

    fn remove(&self, rules: &RuleSet) -> Result<(), RuleError> {
        let mut batch = Batch::begin();
        drop_table(&mut batch);
        batch.commit()?;
        routing::remove(&rules.routing)
    }

    fn backend(&self) -> Backend {
        Backend::Nftables
    }
}

/// Add, delete, add: works whether or not the table is there, also before Linux 6.3 (which has a destroy request).
fn replace(batch: &mut Batch, rules: &RuleSet) {
    drop_table(batch);
    batch.add_table();
    for chain in &rules.chains {
        batch.add_chain(chain);
    }
    for chain in &rules.chains {
        for rule in &chain.rules {
            batch.add_rule(&chain_name(chain), rule);
        }
    }
}

fn drop_table(batch: &mut Batch) {
    batch.add_table();
    batch.delete_table();
}

/// `nat-output` and so on.
fn chain_name(chain: &Chain) -> String {
    let stage = match chain.stage {
        Stage::Raw => "raw",
        Stage::Mangle => "mangle",
        Stage::Nat => "nat",
    };
    let hook = match chain.hook {
        Hook::Prerouting => "prerouting",
        Hook::Output => "output",
    };
    format!("{stage}-{hook}")
}

/// What the kernel is told about a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ChainForm {
    name: String,
    kind: String,
    hook: u32,
    priority: i32,
    policy: u32,
}

impl ChainForm {
    fn of(chain: &Chain) -> Self {
        const ACCEPT: u32 = 1;
        let kind = match (chain.stage, chain.hook) {
            (Stage::Nat, _) => "nat",
            (Stage::Mangle, Hook::Output) => "route",
            _ => "filter",
        };
        let priority = match chain.stage {
            Stage::Raw => -300,
            Stage::Mangle => -150,
            Stage::Nat => -100,
        };
        // NF_INET_PRE_ROUTING and NF_INET_LOCAL_OUT.
        let hook = if chain.hook == Hook::Prerouting { 0 } else { 3 };
        Self { name: chain_name(chain), kind: kind.to_owned(), hook, priority, policy: ACCEPT }
    }
}
