//! What does the show show, one act after another, and what does it expect of each?

mod edit;
mod mistake;
mod rotation;
mod waypoint;

use std::time::Duration;

use super::event::{self, Event, Expectation};
use super::plan::{POD_PORT, Pod};
use super::request::Request;
use super::stage::Stage;
use super::verdict::{Row, Security, Verdict};

/// Longest wait for the link to fall silent.
const SILENCE: Duration = Duration::from_secs(2);

/// Performs every act. An expectation that does not hold is told and does not end the show.
pub(crate) async fn perform(stage: &Stage, quick: bool) -> anyhow::Result<()> {
    identities(stage).await?;
    policies(stage).await?;
    edit::perform(stage).await?;
    mistake::perform(stage).await?;
    waypoint::perform(stage).await?;
    if !quick {
        rotation::perform(stage).await?;
    }
    link(stage).await
}

/// Tells whether a claim held.
fn expect(name: &str, passed: bool, detail: impl Into<String>) {
    event::tell(&Event::Expectation(Expectation::new(name, passed, detail)));
}

/// Tells whether a claim about one call held; the call is the evidence.
fn expect_row(name: &str, passed: bool, row: &Row) {
    expect(name, passed, row.sentence());
}

/// Tells whether a claim about one request held; the request is the evidence.
fn expect_request(name: &str, passed: bool, request: &Request) {
    expect(name, passed, request.sentence());
}

async fn identities(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "Who is who",
        "The shop's programs speak plain HTTP. Between nodes the mesh carries it in mutual TLS; two pods of one node are \
         joined inside its proxy. Either way each end proves who it is, and policies decide.",
    );
    let first = stage.one_call("web", "GET", "http://cart/items").await?;
    let encrypted = first.is_encrypted() && first.is_answered();
    if encrypted {
        event::tell(&Event::FirstEncrypted);
    }
    expect_row("both ends prove who they are, across nodes encrypted", encrypted, &first);
    let rows = stage.call("web", "POST", "http://cart/checkout").await?;
    let same_node = rows.iter().find(|row| row.from == "cart" && row.to == "catalog");
    let mutual = rows.len() == 3 && rows.iter().all(|row| row.is_mutual() && row.is_answered());
    let sentences: Vec<_> = rows.iter().map(Row::sentence).collect();
    expect("a call that leads to others: each under its own identity", mutual, sentences.join("; "));
    if let Some(row) = same_node {
        let joined = row.is_mutual() && !row.is_encrypted() && row.is_answered();
        expect_row("two pods on one node prove who they are, too, and are joined in its proxy", joined, row);
    }
    let address = Pod::named("catalog").map(|pod| pod.virtual_addresses()[1]);
    if let Some(address) = address.filter(|_| stage.topology.ipv6) {
        let row = stage.one_call("web", "GET", &format!("http://[{address}]/items")).await?;
        expect_row("the same over IPv6", row.is_mutual() && row.is_answered(), &row);
    }
    Ok(())
}

async fn policies(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "Who may call whom",
        "Only cart may call payments, only web may call cart, cart takes no plaintext, catalog is open to all. \
         The outsider is not in the mesh: it comes in plaintext and proves nothing.",
    );
    let row = stage.one_call("web", "GET", "http://cart/items").await?;
    let allowed = row.is_mutual() && row.is_allowed_by("/cart-callers");
    expect_row("web may call cart, by the policy that says so", allowed, &row);
    let row = stage.one_call("web", "POST", "http://payments/charge").await?;
    let denied = row.is_mutual() && row.is_denied_by("/payments-callers");
    expect_row("only cart may call payments: web is refused, by name", denied, &row);
    let pod = |name: &str, path: &str| format!("http://{name}.pod:{POD_PORT}{path}");
    let row = stage.one_call("outsider", "POST", &pod("payments", "/charge")).await?;
    expect_row("whoever proves nothing is refused, too", row.is_denied_by("/payments-callers"), &row);
    let row = stage.one_call("outsider", "GET", &pod("cart", "/items")).await?;
    expect_row("STRICT mutual TLS refuses plaintext", is_denied_as_plaintext(&row), &row);
    let row = stage.one_call("outsider", "POST", &pod("catalog", "/search")).await?;
    let reached = row.security == Security::Plaintext && row.is_answered();
    expect_row("what is open to plaintext is reached in plaintext", reached, &row);
    let row = stage.one_call("web", "GET", "http://outsider.outside/").await?;
    let left = row.security == Security::Plaintext && row.is_answered();
    expect_row("a pod of the mesh reaches one outside of it", left, &row);
    Ok(())
}

/// STRICT is carried out by a policy that the controller makes for the whole mesh.
fn is_denied_as_plaintext(row: &Row) -> bool {
    let strict = matches!(&row.verdict, Verdict::Denied { policy } if policy.contains("istio_converted_static_strict"));
    strict && row.security == Security::Plaintext && row.outcome.is_err()
}

async fn link(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "On the wire",
        "Every request and answer so far carried a secret word. Every frame on the link between the nodes was searched \
         for it.",
    );
    let seen = stage.wire.seen(SILENCE).await;
    let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let looked = format!(
        "{} frames, {:.2} MiB, of them {:.2} MiB inside tunnels, {} lost",
        seen.frames,
        mib(seen.bytes),
        mib(seen.tunnelled),
        seen.lost
    );
    event::note(looked.clone());
    if let Some(reason) = &seen.ended {
        event::note(format!("the search ended early: {reason}"));
    }
    let between = |ends: &(String, String), count: &u64| format!("{count} between {} and {}", ends.0, ends.1);
    let words: Vec<_> = seen.words.iter().map(|(ends, count)| between(ends, count)).collect();
    let words = if words.is_empty() { "never".to_owned() } else { words.join(", ") };
    event::note(format!("the word was seen: {words}"));
    let searched = seen.ended.is_none() && seen.lost == 0 && seen.tunnelled > 0;
    let secret = searched && seen.leaked() == 0;
    let detail = format!("seen {} times between pods of the mesh in {looked}", seen.leaked());
    expect("nothing of the mesh crosses the link in clear", secret, detail);
    let detail = format!("seen {} times where the outsider took part", seen.outside());
    expect("that check can fail: the outsider's plaintext is seen", seen.outside() > 0, detail);
    Ok(())
}
