//! Which pods are behind a Service without a selector: those that its slices refer to or whose addresses they hold.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_kubernetes::{EndpointSlice, Pod, Service};
use ambit_model::Text;

use super::objects::{Objects, Place};
use super::slices::{pod_behind, service_of};

/// An endpoint that is a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) service: Arc<Service>,
    pub(super) slice: Arc<EndpointSlice>,
    pub(super) uid: Option<Text>,
}

/// The endpoints of selector-less services that are pods, by the pods' namespaces and names.
#[derive(Debug, Default)]
pub(super) struct Listed(HashMap<Text, HashMap<Text, Vec<Reference>>>);

impl Listed {
    pub(super) fn new(objects: &Objects) -> Self {
        let mut references: HashMap<Text, HashMap<Text, Vec<Reference>>> = HashMap::new();
        for slice in objects.slices.iter() {
            let namespace = slice.metadata.namespace.as_str();
            let Some(service) = service_of(slice, objects) else { continue };
            if !service.spec.selector.is_empty() {
                continue;
            }
            let pods = slice.endpoints.iter().filter_map(|one| pod_behind(one, namespace, objects));
            for (namespace, name, uid) in pods {
                let uid = uid.map(Text::from);
                let reference = Reference { service: service.clone(), slice: slice.clone(), uid };
                let pods = references.entry(namespace.into()).or_default();
                pods.entry(name.into()).or_default().push(reference);
            }
        }
        Self(references)
    }

    pub(super) fn of(&self, pod: &Pod) -> &[Reference] {
        self.at(&pod.metadata.namespace, &pod.metadata.name)
    }

    fn at(&self, namespace: &str, name: &str) -> &[Reference] {
        let named = self.0.get(namespace).and_then(|pods| pods.get(name));
        named.map(Vec::as_slice).unwrap_or_default()
    }

    /// The pods for which these and others differ.
    pub(super) fn differing(&self, others: &Self) -> Vec<Place> {
        let differ = |one: &Self, other: &Self| -> Vec<Place> {
            let pods = one.0.iter().flat_map(|(namespace, pods)| {
                pods.iter().map(move |(name, references)| (namespace, name, references))
            });
            let pods = pods.filter(|(namespace, name, references)| **references != other.at(namespace, name));
            pods.map(|(namespace, name, _)| (namespace.clone(), name.clone())).collect()
        };
        let mut places = differ(self, others);
        places.append(&mut differ(others, self));
        places
    }
}
