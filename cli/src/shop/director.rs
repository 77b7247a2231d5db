//! Who carries out the orders that come on standard input?

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::AbortHandle;

use super::client::{CallError, Client, Connection, Signature, Target};
use super::load::load;
use super::words::{Follow, News, Order};

/// How often an endless response or a load is told about.
pub(super) const TELL_EVERY: Duration = Duration::from_millis(100);

/// Follows orders until there are no more.
pub(crate) async fn follow(client: Client) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut running: HashMap<u64, AbortHandle> = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        running.retain(|_, task| !task.is_finished());
        let client = client.clone();
        match serde_json::from_str(&line)? {
            Order::Call { number, method, url, token } => {
                let signed = Signature::ordered(&client.name, number, token.as_deref());
                tokio::spawn(async move { client.call(Some(number), &method, &url, &signed).await });
            }
            Order::Follow { number, url } => {
                let task = tokio::spawn(async move { endless(&client, number, &url).await });
                running.insert(number, task.abort_handle());
            }
            Order::Load { number, url } => {
                let task = tokio::spawn(async move { load(&client, number, &url).await });
                running.insert(number, task.abort_handle());
            }
            Order::Stop { number } => {
                if let Some(task) = running.remove(&number) {
                    task.abort();
                }
            }
        }
    }
    Ok(())
}

/// Reads a response that is not meant to end, and tells how it goes and why it ended.
async fn endless(client: &Client, number: u64, url: &str) {
    let mut news = Follow { number, local: None, pieces: 0, ended: None };
    let ended = pieces(client, url, &mut news).await;
    news.ended = Some(match ended {
        Ok(()) => "the response ended".to_owned(),
        Err(error) => error.to_string(),
    });
    client.teller.tell(&News::Follow(news));
}

async fn pieces(client: &Client, url: &str, news: &mut Follow) -> Result<(), CallError> {
    let target = Target::parse(url)?;
    let mut connection = Connection::open(&target).await?;
    news.local = Some(connection.local);
    let response = connection.request(client.request("GET", &target, true)).await?;
    let mut body = response.into_body();
    let mut told: Option<Instant> = None;
    while let Some(frame) = body.frame().await {
        frame.map_err(CallError::Ended)?;
        news.pieces += 1;
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            client.teller.tell(&News::Follow(news.clone()));
            told = Some(Instant::now());
        }
    }
    Ok(())
}
