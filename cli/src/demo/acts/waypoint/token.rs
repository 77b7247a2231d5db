//! A page is for those who show a token.

use super::expect_request;
use crate::demo::event;
use crate::demo::resources::TOKEN;
use crate::demo::stage::Stage;

const URL: &str = "http://offers/members";

/// Asks for it without a token, with a forged one, and with a good one.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "A page for members",
        "offers shows /members to those whose token (JWT) a certain key has signed. web comes without one, with one \
         that was tampered with, and with a good one.",
    );
    let none = stage.ask(URL, None).await?;
    expect_request("without a token: 403", none.is(403) && none.told.answered_by.is_none(), &none);
    let forged = stage.ask(URL, Some(&forged(TOKEN))).await?;
    expect_request("with a forged token: 401", forged.is(401) && forged.told.answered_by.is_none(), &forged);
    let good = stage.ask(URL, Some(TOKEN)).await?;
    expect_request("with a good token: 200", good.is(200) && good.told.answered_by.is_some(), &good);
    Ok(())
}

/// Another subject under the same signature.
fn forged(token: &str) -> String {
    // {"iss":"members.shop","sub":"eve"}
    const EVE: &str = "eyJpc3MiOiJtZW1iZXJzLnNob3AiLCJzdWIiOiJldmUifQ";
    let mut parts: Vec<&str> = token.split('.').collect();
    if let Some(claims) = parts.get_mut(1) {
        *claims = EVE;
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_differs_in_its_claims_only() {
        let forged = forged(TOKEN);
        let differ: Vec<bool> =
            TOKEN.split('.').zip(forged.split('.')).map(|(one, other)| one != other).collect();
        assert_eq!(differ, [false, true, false]);
    }
}
