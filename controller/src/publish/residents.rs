//! Which identities live on which node.

use ambit_kubernetes::{Object, Pod};
use ambit_model::Text;
use ambit_model::table::Table;

use crate::tokens::NodeName;

/// How many live pods each node has of each identity. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Residents(Table<Resident, usize>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Resident {
    node: Text,
    namespace: Text,
    service_account: Text,
}

impl Residents {
    pub(super) fn lives_on(&self, node: &NodeName, namespace: &str, service_account: &str) -> bool {
        let resident = Resident {
            node: node.as_str().into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        };
        self.0.get(&resident).is_some()
    }

    /// Whether any node has one.
    pub(super) fn lives(&self, namespace: &str, service_account: &str) -> bool {
        let this = |one: &Resident| *one.namespace == *namespace && *one.service_account == *service_account;
        self.0.iter().any(|(resident, _)| this(resident))
    }

    pub(super) fn update(&mut self, removed: &[Object], added: &[Object]) {
        for resident in added.iter().filter_map(resident) {
            let pods = self.0.get(&resident).copied().unwrap_or_default();
            self.0.insert(resident, pods + 1);
        }
        for resident in removed.iter().filter_map(resident) {
            match self.0.get(&resident).copied() {
                Some(pods @ 2..) => drop(self.0.insert(resident, pods - 1)),
                _ => drop(self.0.remove(&resident)),
            }
        }
    }
}

/// The identity of a pod that may have certificates: Pending, Running, or without a phase, which counts as Running.
fn resident(object: &Object) -> Option<Resident> {
    use ambit_kubernetes::PodPhase::{Pending, Running};
    let Object::Pod(pod) = object else { return None };
    let live = |pod: &Pod| matches!(pod.status.phase, None | Some(Pending | Running));
    let node = pod.node().filter(|_| live(pod))?;
    Some(Resident {
        node: node.into(),
        namespace: pod.metadata.namespace.as_str().into(),
        service_account: pod.service_account().into(),
    })
}
