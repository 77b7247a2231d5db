//! `baggage`: who the source (request) or the destination (response) says it is. Telemetry only.

use std::fmt::Write;

use ambit_model::workload::WorkloadType;
use ambit_model::{Text, Workload};
use http::HeaderValue;

/// Longest value that is written or read, in bytes after decoding; Kubernetes names have at most 253.
const MAX_VALUE: usize = 256;
/// Bytes of all `baggage` lines together that are looked at (W3C Baggage section 3.3.2 asks for 8192).
const MAX_TOTAL: usize = 8192;

/// A workload as its proxy describes it. Empty texts are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Baggage {
    /// `k8s.cluster.name`.
    pub cluster: Text,
    /// `k8s.namespace.name`.
    pub namespace: Text,
    /// The owner's kind, which is part of the key: `k8s.deployment.name` and so on.
    pub workload_type: WorkloadType,
    /// The owner's name.
    pub workload: Text,
    /// `service.name`, Istio's canonical service.
    pub service: Text,
    /// `service.version`, Istio's canonical revision.
    pub version: Text,
    /// `cloud.region`.
    pub region: Text,
    /// `cloud.availability_zone`.
    pub zone: Text,
}

impl From<&Workload> for Baggage {
    fn from(workload: &Workload) -> Self {
        Self {
            cluster: workload.cluster.clone(),
            namespace: workload.namespace.clone(),
            workload_type: workload.workload_type,
            workload: workload.workload_name.clone(),
            service: workload.canonical_name.clone(),
            version: workload.canonical_revision.clone(),
            region: workload.locality.region.clone(),
            zone: workload.locality.zone.clone(),
        }
    }
}

impl Baggage {
    /// The header's value, in Istio's order of keys, without spaces; unknown and over-long values are left out.
    /// `None` when nothing is known. It is constant for a workload: keep it.
    pub fn encode(&self) -> Option<HeaderValue> {
        let workload = match self.workload_type {
            WorkloadType::Deployment => "k8s.deployment.name",
            WorkloadType::CronJob => "k8s.cronjob.name",
            WorkloadType::Pod => "k8s.pod.name",
            WorkloadType::Job => "k8s.job.name",
        };
        let entries = [
            ("k8s.cluster.name", &self.cluster),
            ("k8s.namespace.name", &self.namespace),
            (workload, &self.workload),
            ("service.name", &self.service),
            ("service.version", &self.version),
            ("cloud.region", &self.region),
            ("cloud.availability_zone", &self.zone),
        ];
        let mut text = String::with_capacity(256);
        for (key, value) in entries {
            if value.is_empty() || value.len() > MAX_VALUE {
                continue;
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
            text.push('=');
            percent_encode(value, &mut text);
        }
        if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
    }

    /// Reads what the peer says. Unknown keys, and values that are malformed or too long, are ignored; of a repeated
    /// key the last counts, as in Istio.
    pub fn decode<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut baggage = Self::default();
        let mut left = MAX_TOTAL;
        for line in lines {
            let Ok(line) = line.to_str() else { continue };
            let Some(rest) = left.checked_sub(line.len()) else { break };
            left = rest;
            for member in line.split(',') {
                baggage.take(member);
            }
        }
        baggage
    }

    fn take(&mut self, member: &str) {
        // Properties (`;name=value`) belong to a member and say nothing to us.
        let member = member.split_once(';').map_or(member, |(member, _)| member);
        let Some((key, value)) = member.split_once('=') else { return };
        let Some(value) = percent_decode(value.trim_matches([' ', '\t'])) else { return };
        let field = match key.trim_matches([' ', '\t']) {
            "k8s.cluster.name" => &mut self.cluster,
            "k8s.namespace.name" => &mut self.namespace,
            "k8s.deployment.name" => return self.name(WorkloadType::Deployment, value),
            "k8s.cronjob.name" => return self.name(WorkloadType::CronJob, value),
            "k8s.pod.name" => return self.name(WorkloadType::Pod, value),
            "k8s.job.name" => return self.name(WorkloadType::Job, value),
            "service.name" => &mut self.service,
            "service.version" => &mut self.version,
            "cloud.region" => &mut self.region,
            "cloud.availability_zone" => &mut self.zone,
            _ => return,
        };
        *field = value;
    }

    fn name(&mut self, workload_type: WorkloadType, value: Text) {
        self.workload_type = workload_type;
        self.workload = value;
    }
}

/// `baggage-octet` of W3C Baggage section 3.3.1.1, less `%`, and less `=`, at which Istio's reader cuts.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\%=".contains(&byte)
}

fn percent_encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// `None` for what is not percent-encoded UTF-8 of tolerable length without control characters.
fn percent_decode(value: &str) -> Option<Text> {
    if value.len() > MAX_VALUE * 3 {
        return None;
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => hexadecimal(rest.next()?)? << 4 | hexadecimal(rest.next()?)?,
            other => other,
        };
        bytes.push(byte);
    }
    let text = String::from_utf8(bytes).ok()?;
    let tolerable = text.len() <= MAX_VALUE && !text.chars().any(char::is_control);
    tolerable.then(|| text.into())
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_what_istio_writes() {
        let baggage = Baggage {
            cluster: "Kubernetes".into(),
            namespace: "default".into(),
            workload_type: WorkloadType::Deployment,
            workload: "echo".into(),
            service: "echo-canonical".into(),
            version: "v1".into(),
            region: "r1".into(),
            zone: "z1".into(),
        };
        assert_eq!(
            baggage.encode().unwrap(),
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=echo,\
             service.name=echo-canonical,service.version=v1,cloud.region=r1,cloud.availability_zone=z1"
        );
        assert_eq!(Baggage::default().encode(), None);
    }

    #[test]
    fn reads_several_lines_and_ignores_what_it_does_not_know() {
        let lines = [
            HeaderValue::from_static("k8s.cluster.name=K1, other=1 ,k8s.job.name = batch;ttl=3 ,=,,noise"),
            HeaderValue::from_static("service.name=,service.version=%zz,cloud.region=a%2Cb"),
            HeaderValue::from_bytes(b"k8s.namespace.name=\xff").unwrap(),
        ];
        let baggage = Baggage::decode(&lines);
        let expected = Baggage {
            cluster: "K1".into(),
            workload_type: WorkloadType::Job,
            workload: "batch".into(),
            region: "a,b".into(),
            ..Baggage::default()
        };
        assert_eq!(baggage, expected);
    }

    #[test]
    fn a24_control_characters_do_not_reach_a_log() {
        let lines = [HeaderValue::from_static("k8s.pod.name=a%0Ab,service.name=%1b[31m,cloud.zone=ok")];
        assert_eq!(Baggage::decode(&lines), Baggage::default());
    }

    #[test]
    fn long_values_and_long_lines_are_left_out() {
        let long = HeaderValue::try_from(format!("k8s.pod.name={}", "a".repeat(257))).unwrap();
        let endless = HeaderValue::try_from(format!("service.name=x,{}", "b".repeat(MAX_TOTAL))).unwrap();
        assert_eq!(Baggage::decode(&[long, endless]), Baggage::default());
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic_and_yield_no_control_character(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)
        ) {
            let lines: Vec<_> = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
            let baggage = Baggage::decode(&lines);
            prop_assert!(!baggage.workload.chars().any(char::is_control));
        }

        #[test]
        fn whatever_is_written_reads_back(
            cluster in "\\PC{0,40}", workload in "\\PC{1,40}", zone in "[ -~]{0,40}"
        ) {
            let baggage = Baggage {
                cluster: cluster.into(), workload: workload.into(), zone: zone.into(), ..Baggage::default()
            };
            let line = baggage.encode().unwrap();
            prop_assert_eq!(Baggage::decode(&[line]), baggage);
        }
    }
}
