//! What does it cost a node to know many workloads, and how soon does it follow a change?

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use super::settled_memory;
use crate::machine::foreign::Foreign;
use crate::machine::process::{Memory, Times};
use crate::sample::{self, Lengths, Sample};
use crate::stage::resources::{NAMESPACE, push_pod};
use crate::stage::{PORT, Stage, mesh};
use crate::work::churn::ask;
use crate::work::load::Work;

/// Workloads in one file of resources, as a directory that people keep has them.
const IN_A_FILE: usize = 1_000;
/// Times that a change is made and taken back.
const CHANGES: usize = 3;
/// No further change is made after this much time.
const ENOUGH: Duration = Duration::from_secs(15);
/// Longest wait for all workloads to be known, and for a change.
const PATIENCE: Duration = Duration::from_secs(90);
/// The port of the Service that comes with the last workload.
const PROBE_PORT: u16 = 80;
/// How long one attempt of a request may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// A node that knows many workloads.
#[derive(Debug, Clone, Serialize)]
pub struct Known {
    /// The path.
    pub path: String,
    /// Workloads beside the two that talk.
    pub workloads: usize,
    /// Seconds from the first file's writing until a Service that came with the last one could be used.
    pub seconds: f64,
    /// Processor seconds of the ztunnels for it.
    pub processor: f64,
    /// Memory of each ztunnel afterwards.
    pub each: Vec<Memory>,
    /// Memory of the controller.
    pub controller: Memory,
    /// Milliseconds from the saving of a policy until a new connection was refused by it, and from its removal until one
    /// passed again.
    pub changes: Vec<f64>,
    /// Requests on 64 connections.
    pub requests: Option<Sample>,
    /// Why there is no more.
    pub failed: Option<String>,
}

/// Adds workloads until there are so many, and measures.
pub fn measure(
    stage: &mut Stage,
    program: &Path,
    workloads: usize,
    lengths: Lengths,
    foreign: &Foreign,
) -> anyhow::Result<Known> {
    let mut known = Known {
        path: stage.spec.name.clone(),
        workloads,
        seconds: 0.0,
        processor: 0.0,
        each: Vec::new(),
        controller: Memory::default(),
        changes: Vec::new(),
        requests: None,
        failed: None,
    };
    if let Err(error) = grow(stage, program, &mut known, lengths, foreign) {
        stage.check()?;
        known.failed = Some(format!("{error:#}"));
    }
    Ok(known)
}

fn grow(
    stage: &mut Stage,
    program: &Path,
    known: &mut Known,
    lengths: Lengths,
    foreign: &Foreign,
) -> anyhow::Result<()> {
    let files = stage.files.clone().context("not a mesh")?;
    let used = |stage: &Stage| -> anyhow::Result<f64> {
        stage.proxies.iter().map(|proxy| Times::of(proxy.pid()).map(Times::both)).sum()
    };
    let (begun, processor) = (Instant::now(), used(stage)?);
    let files_count = known.workloads.div_ceil(IN_A_FILE);
    for file in 0..files_count {
        let numbers = file * IN_A_FILE..((file + 1) * IN_A_FILE).min(known.workloads);
        let mut text = others(numbers);
        if file + 1 == files_count {
            text.push_str(&service(known.workloads, probe(known.workloads)));
        }
        files.write(&format!("others-{file}"), &text, false)?;
    }
    // Not by a dump of the configuration: with many workloads that costs the ztunnel more than the workloads do.
    let by_service = SocketAddr::from((probe(known.workloads), PROBE_PORT));
    until(stage, by_service, true)?;
    known.seconds = begun.elapsed().as_secs_f64();
    known.processor = used(stage)? - processor;
    settled_memory(&stage.proxies)?;
    known.each = stage.proxies.iter().map(|proxy| Memory::of(proxy.pid())).collect::<anyhow::Result<_>>()?;
    let controller = stage.control.first().context("there is no controller")?;
    known.controller = Memory::of(controller.pid())?;
    let changing = Instant::now();
    for _ in 0..CHANGES {
        if changing.elapsed() > ENOUGH {
            break;
        }
        files.write("refuse", &refusal(), false)?;
        known.changes.push(until(stage, stage.to, false)?);
        files.remove("refuse")?;
        known.changes.push(until(stage, stage.to, true)?);
    }
    let work = Work::Requests { connections: 64, rate: None };
    let case = format!("workloads-{}", known.workloads);
    known.requests = Some(sample::take(stage, program, (&case, 0), work, lengths, foreign)?);
    for index in 0..stage.proxies.len() {
        let last = name(known.workloads - 1);
        ensure!(mesh::knows(stage.network.node(index)?, &last), "node {index} does not know workload {last}");
    }
    Ok(())
}

/// The address of the Service that comes with so many workloads.
fn probe(workloads: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 0)) + workloads as u32 % 65_521)
}

/// A Service in front of the server.
fn service(number: usize, address: Ipv4Addr) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: probe-{number}, namespace: {NAMESPACE}}}\nspec:\n  \
         clusterIP: {address}\n  clusterIPs: [\"{address}\"]\n  selector: {{app: server}}\n  \
         ports: [{{name: http, port: {PROBE_PORT}, targetPort: {PORT}}}]\n"
    )
}

/// Milliseconds until a new connection passes, or does not.
fn until(stage: &mut Stage, to: SocketAddr, passes: bool) -> anyhow::Result<f64> {
    let begun = Instant::now();
    loop {
        let attempted = Instant::now();
        let asked = stage.client.netns.run(|| -> anyhow::Result<()> {
            let stream = TcpStream::connect_timeout(&to, ATTEMPT)?;
            stream.set_read_timeout(Some(ATTEMPT))?;
            ask(&stream, 1, &mut Vec::new())
        })?;
        if asked.is_ok() == passes {
            return Ok((attempted - begun).as_secs_f64() * 1e3);
        }
        if begun.elapsed() > PATIENCE {
            stage.check()?;
            bail!("a change was not in force within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn refusal() -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: refuse, namespace: {NAMESPACE}}}\n\
         spec:\n  selector: {{matchLabels: {{app: server}}}}\n  action: DENY\n  \
         rules: [{{from: [{{source: {{principals: [\"cluster.local/ns/{NAMESPACE}/sa/client\"]}}}}]}}]\n"
    )
}

fn name(number: usize) -> String {
    format!("other-{number}")
}

/// Workloads of other nodes.
fn others(numbers: std::ops::Range<usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 1)) + number as u32);
        let node = format!("far-{}", number / 250);
        push_pod(&mut text, &name(number), &node, &address.to_string(), None);
        let _ = writeln!(text);
    }
    text
}
