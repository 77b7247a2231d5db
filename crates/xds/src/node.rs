//! Who asks, on a discovery stream (Envoy `config.core.v3.Node`).

use ambit_proto::envoy::core;
use prost_types::value::Kind as Proto;
use serde_json::{Map, Value};

/// Deepest nesting of metadata that is read; what lies deeper becomes null. A peer's nesting never exhausts the stack.
const MAX_DEPTH: usize = 16;

/// The asking process. Nothing in it is proven: the server checks it against the peer's credential.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// `ztunnel~<address>~<pod>.<namespace>~<namespace>.svc.<domain>`.
    pub id: String,
    /// Cluster, `""` when not said.
    pub cluster: String,
    /// Metadata, such as `NODE_NAME`, `NAME`, `NAMESPACE`, `CLUSTER_ID`.
    pub metadata: Map<String, Value>,
}

impl Node {
    /// A text of the metadata, `None` when absent or not a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)?.as_str()
    }

    pub(crate) fn to_proto(&self) -> core::Node {
        core::Node {
            id: self.id.clone(),
            cluster: self.cluster.clone(),
            metadata: Some(to_struct(&self.metadata)),
            locality: None,
        }
    }

    pub(crate) fn from_proto(node: core::Node) -> Self {
        let metadata = node.metadata.map(|fields| from_struct(fields, 0)).unwrap_or_default();
        Self { id: node.id, cluster: node.cluster, metadata }
    }
}

fn to_struct(map: &Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct { fields: map.iter().map(|(key, value)| (key.clone(), to_value(value))).collect() }
}

fn to_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Proto::NullValue(0),
        Value::Bool(yes) => Proto::BoolValue(*yes),
        Value::Number(number) => Proto::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Proto::StringValue(text.clone()),
        Value::Array(values) => {
            Proto::ListValue(prost_types::ListValue { values: values.iter().map(to_value).collect() })
        }
        Value::Object(map) => Proto::StructValue(to_struct(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

fn from_struct(fields: prost_types::Struct, depth: usize) -> Map<String, Value> {
    fields.fields.into_iter().map(|(key, value)| (key, from_value(value, depth + 1))).collect()
}

fn from_value(value: prost_types::Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match value.kind {
        None | Some(Proto::NullValue(_)) => Value::Null,
        Some(Proto::BoolValue(yes)) => Value::Bool(yes),
        Some(Proto::NumberValue(number)) => Value::from(number),
        Some(Proto::StringValue(text)) => Value::String(text),
        Some(Proto::ListValue(list)) => {
            list.values.into_iter().map(|value| from_value(value, depth + 1)).collect()
        }
        Some(Proto::StructValue(fields)) => Value::Object(from_struct(fields, depth)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_round_trips() {
        let metadata = serde_json::json!({
            "NODE_NAME": "n1", "LABELS": {"a": "b"}, "LIST": ["x", true, null, 1.5],
        });
        let node = Node {
            id: "ztunnel~10.0.0.1~z.ns~ns.svc.cluster.local".into(),
            cluster: "c".into(),
            metadata: metadata.as_object().unwrap().clone(),
        };
        assert_eq!(Node::from_proto(node.to_proto()), node);
        assert_eq!(node.text("NODE_NAME"), Some("n1"));
        assert_eq!(node.text("LABELS"), None);
    }
}
