//! How do rules get into iptables, by its restore and save programs?

mod installed;
mod text;
mod tool;

use super::renderer::{Applied, Backend, Drift, Renderer};
use super::{Families, RedirectOptions, RuleError, RuleSet, redirection, routing, succession};
use crate::sysctl;
use installed::Installed;
use tool::Tool;

/// The second renderer: `iptables-restore --noflush` into chains of our own, named `AMBIT_PRERT` and `AMBIT_OUTPUT`
/// in each table, with one jump to each from the built-in chain. Each table of each family is replaced atomically.
#[derive(Debug, Clone)]
pub struct Iptables {
    v4: Tool,
    v6: Tool,
}

impl Iptables {
    /// Finds programs on `PATH` that work in the current namespace. Nothing is changed.
    ///
    /// Tries the default ones first, then `iptables-legacy` and `iptables-nft`.
    pub fn probe() -> Result<Self, RuleError> {
        let rules =
            redirection(&RedirectOptions { ipv6: sysctl::ipv6_enabled(), ..RedirectOptions::default() });
        let mut first = None;
        for variant in ["", "-legacy", "-nft"] {
            let candidate = Self::variant(variant);
            match candidate.test(&rules) {
                Ok(()) => return Ok(candidate),
                Err(RuleError::Denied) => return Err(RuleError::Denied),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| RuleError::MissingTool("iptables-restore".to_owned())))
    }

    /// The programs of one variant: `""` for the machine's default, `"-legacy"` or `"-nft"`. Not tried out.
    pub fn variant(variant: &str) -> Self {
        Self { v4: Tool::new("iptables", variant), v6: Tool::new("ip6tables", variant) }
    }

    fn test(&self, rules: &RuleSet) -> Result<(), RuleError> {
        for (tool, family) in self.tools(rules.routing.families) {
            let installed = installed::parse(&tool.save()?);
            tool.restore(&text::apply(rules, family, &installed), true)?;
        }
        Ok(())
    }

    /// The programs for these families, without IPv6 where the namespace has none.
    fn tools(&self, families: Families) -> impl Iterator<Item = (&Tool, Families)> {
        let v6 = (families.v6() && sysctl::ipv6_enabled()).then_some((&self.v6, Families::V6));
        families.v4().then_some((&self.v4, Families::V4)).into_iter().chain(v6)
    }
}

impl Renderer for Iptables {
    fn apply(&self, rules: &RuleSet) -> Result<Applied, RuleError> {
        let mut applied = routing::apply(&rules.routing)?;
        applied.skipped.extend(succession::apply());
        for (tool, family) in self.tools(rules.routing.families) {
            let installed = installed::parse(&tool.save()?);
            tool.restore(&text::apply(rules, family, &installed), false)?;
        }
        // A former rule set may have had IPv6.
        if !rules.routing.families.v6() {
            self.clear(Families::V6)?;
        }
        Ok(applied)
    }

    fn verify(&self, rules: &RuleSet) -> Result<Vec<Drift>, RuleError> {
        let mut drifts = Vec::new();
        for (tool, family) in self.tools(rules.routing.families) {
            let installed = installed::parse(&tool.save()?);
            drifts.extend(installed::compare(&rules.chains, family, &installed));
        }
        if !rules.routing.families.v6() {
            for (_, installed) in self.present(Families::V6)? {
                drifts.extend(installed::compare(&[], Families::V6, &installed));
            }
        }
        drifts.extend(routing::verify(&rules.routing)?);
        drifts.extend(succession::verify());
        Ok(drifts)
    }

    fn remove(&self, rules: &RuleSet) -> Result<(), RuleError> {
        self.clear(Families::Both)?;
        routing::remove(&rules.routing)
    }

    fn backend(&self) -> Backend {
        Backend::Iptables
    }
}

impl Iptables {
    /// Deletes our jumps and chains of these families.
    fn clear(&self, families: Families) -> Result<(), RuleError> {
        for (tool, installed) in self.present(families)? {
            let text = text::remove(&installed);
            if !text.is_empty() {
                tool.restore(&text, false)?;
            }
        }
        Ok(())
    }

    /// What is installed, of these families. Without its program a family has nothing of ours.
    fn present(&self, families: Families) -> Result<Vec<(&Tool, Installed)>, RuleError> {
        let mut found = Vec::new();
        for (tool, _) in self.tools(families) {
            match tool.save() {
                Ok(text) => found.push((tool, installed::parse(&text))),
                Err(RuleError::MissingTool(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}
