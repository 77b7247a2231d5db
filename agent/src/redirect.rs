//! What is done to one pod's namespace: opened, its rules put in place, verified, taken out. Everything here blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_netns::rules::{
    Backend, CONNECTION_MARK, Drift, Families, Iptables, Nftables, RedirectOptions, Renderer, Routing,
    RuleError, RuleSet, detect, redirection,
};
use ambit_netns::{EnterError, Namespace, NamespaceId, OpenError};

use crate::plan::Sight;

/// Why nothing could be done in a namespace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedirectError {
    /// It could not be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] RuleError),
}

/// What [`Redirect::enforce`] found and did.
#[derive(Debug, Default)]
pub(crate) struct Enforced {
    /// What was not as wanted, and is now; empty when everything was in place.
    pub(crate) repaired: Vec<Drift>,
    /// What the namespace cannot have, and does not need.
    pub(crate) skipped: Vec<String>,
}

/// The means to redirect. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    renderer: Arc<dyn Renderer>,
    others: Arc<Vec<Box<dyn Renderer>>>,
    /// Namespaces that are no pod's: this process's, and the machine's.
    own: Arc<Vec<NamespaceId>>,
}

impl Redirect {
    /// With the wanted renderer, or the first that works here. `thorough`: rules of the other renderer are looked for,
    /// too. That takes tens of milliseconds for each namespace, and iptables leaves its empty tables behind.
    ///
    /// # Errors
    /// The renderer does not work here, or a privilege is missing; one line that says what to do.
    pub(crate) fn new(wanted: Option<Backend>, thorough: bool) -> Result<Self, RuleError> {
        // The machine's first process has the machine's namespace, where it may be looked at.
        let own = ["/proc/self/ns/net", "/proc/1/ns/net"]
            .iter()
            .filter_map(|path| Namespace::open(path).ok())
            .map(|namespace| namespace.id())
            .collect();
        let this = Self { renderer: detect(wanted)?.into(), others: Arc::default(), own: Arc::new(own) };
        Ok(if thorough { this.thorough() } else { this })
    }

    /// From now on the other renderer's rules are looked for, too.
    pub(crate) fn thorough(self) -> Self {
        let other: Option<Box<dyn Renderer>> = match self.renderer.backend() {
            Backend::Nftables => Iptables::probe().ok().map(|other| Box::new(other) as _),
            Backend::Iptables => Nftables::probe().ok().map(|other| Box::new(other) as _),
        };
        Self { others: Arc::new(other.into_iter().collect()), ..self }
    }

    /// How rules get into the kernel.
    pub(crate) fn backend(&self) -> Backend {
        self.renderer.backend()
    }

    /// Opens what is at `path`, and says what it is to a pod.
    pub(crate) fn look(&self, path: &Path) -> (Sight, Option<Namespace>) {
        match Namespace::open(path) {
            Ok(namespace) if self.own.contains(&namespace.id()) => {
                (Sight::Refused(OwnNamespace(path.to_owned()).to_string()), None)
            }
            Ok(namespace) => (Sight::Seen(namespace.id()), Some(namespace)),
            Err(error @ OpenError::Missing(_)) => (Sight::Missing(error.to_string()), None),
            Err(error @ (OpenError::NotNamespace(_) | OpenError::WrongKind { .. })) => {
                (Sight::Refused(error.to_string()), None)
            }
            Err(error) => (Sight::Unreadable(error.to_string()), None),
        }
    }

    /// Brings the namespace to exactly the rules for `options`, and proves it. `fresh`: this namespace is seen for the
    /// first time.
    pub(crate) fn enforce(
        &self,
        namespace: &Namespace,
        options: &RedirectOptions,
        fresh: bool,
    ) -> Result<Enforced, RedirectError> {
        let rules = redirection(options);
        Ok(namespace.run(|| self.enforce_here(&rules, fresh))??)
    }

    fn enforce_here(&self, rules: &RuleSet, fresh: bool) -> Result<Enforced, RuleError> {
        let repaired = self.renderer.verify(rules)?;
        let mut foreign = false;
        if fresh {
            for other in self.others.iter() {
                foreign |= !unexpected(other.as_ref(), Families::Both)?.is_empty();
            }
        }
        if repaired.is_empty() && !foreign {
            return Ok(Enforced::default());
        }
        let mut applied = self.renderer.apply(rules)?;
        if foreign {
            // Only now, so that the pod is never open; the routing, which goes with them, is put back.
            self.others.iter().try_for_each(|other| other.remove(rules))?;
            applied = self.renderer.apply(rules)?;
        }
        if let Some(drift) = self.renderer.verify(rules)?.first() {
            return Err(RuleError::Refused {
                part: "the rules as they were written".to_owned(),
                reason: format!("{drift}, right after it was put in place; something else changes them"),
            });
        }
        Ok(Enforced { repaired, skipped: applied.skipped.iter().map(ToString::to_string).collect() })
    }

    /// What is not as it should be for `options`; changes nothing.
    pub(crate) fn verify(
        &self,
        namespace: &Namespace,
        options: &RedirectOptions,
    ) -> Result<Vec<Drift>, RedirectError> {
        let rules = redirection(options);
        Ok(namespace.run(|| self.renderer.verify(&rules))??)
    }

    /// The other renderer, if the rules are in place by it.
    pub(crate) fn in_place_by_other(
        &self,
        namespace: &Namespace,
        options: &RedirectOptions,
    ) -> Result<Option<Backend>, RedirectError> {
        let rules = redirection(options);
        let found = namespace.run(|| -> Result<Option<Backend>, RuleError> {
            for other in self.others.iter() {
                if other.verify(&rules)?.is_empty() {
                    return Ok(Some(other.backend()));
                }
            }
            Ok(None)
        })??;
        Ok(found)
    }

    /// What of ours is in the namespace, whichever renderer put it there; changes nothing.
    pub(crate) fn leftovers(&self, namespace: &Namespace) -> Result<Vec<String>, RedirectError> {
        Ok(namespace.run(|| self.leftovers_here())??)
    }

    /// Takes out every rule and route of ours, whichever renderer put it there; gives what was found.
    pub(crate) fn clear(&self, namespace: &Namespace) -> Result<Vec<String>, RedirectError> {
        let removed = namespace.run(|| -> Result<Vec<String>, RuleError> {
            let found = self.leftovers_here()?;
            if !found.is_empty() {
                let rules = redirection(&RedirectOptions::default());
                self.renderers().try_for_each(|renderer| renderer.remove(&rules))?;
            }
            Ok(found)
        })??;
        Ok(removed)
    }

    fn renderers(&self) -> impl Iterator<Item = &dyn Renderer> {
        std::iter::once(self.renderer.as_ref()).chain(self.others.iter().map(AsRef::as_ref))
    }

    fn leftovers_here(&self) -> Result<Vec<String>, RuleError> {
        let mut found = Vec::new();
        for renderer in self.renderers() {
            // Routing is always wanted for one family: asked for each alone, what there is of the other is unexpected.
            for families in [Families::V4, Families::V6] {
                let more = unexpected(renderer, families)?;
                found.extend(more.into_iter().filter(|what| !found.contains(what)).collect::<Vec<_>>());
            }
        }
        Ok(found)
    }
}

/// What of ours is there that would not be, were there no rules and only the routing of these families.
fn unexpected(renderer: &dyn Renderer, families: Families) -> Result<Vec<String>, RuleError> {
    let drifts = renderer.verify(&nothing(families))?;
    let found = drifts.into_iter().filter_map(|drift| match drift {
        Drift::Unexpected(what) => Some(what),
        Drift::Missing(_) | Drift::Altered(_) => None,
    });
    Ok(found.collect())
}

/// No rule at all, and routing for these families only.
fn nothing(families: Families) -> RuleSet {
    let routing = redirection(&RedirectOptions::default()).routing;
    RuleSet { chains: Vec::new(), routing: Routing { mark: CONNECTION_MARK, families, ..routing } }
}

/// A path that leads to where no pod is.
#[derive(Debug, thiserror::Error)]
#[error("{} is this machine's own network namespace, not a pod's: name the pod's namespace", .0.display())]
struct OwnNamespace(PathBuf);
