//! To which endpoint does a client's session belong? (Gateway API SessionPersistence, GEP-1619)
//!
//! The client carries its endpoint's key and when the session began, readable and not secret: what it says is followed
//! only to an endpoint that the request could have got anyway.

use std::time::Duration;

use ambit_model::l7::route::{SessionKind, SessionPersistence};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, SET_COOKIE};

use super::canonical::Request;

/// A session that a client remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its endpoint, by [`super::balance::Endpoint::key`].
    pub endpoint: String,
    /// When it began, in seconds since 1970.
    pub began: u64,
}

impl Session {
    /// The session that a request belongs to, at `now` (since 1970). `None` where it names none, or one that has ended.
    pub fn of(rule: &SessionPersistence, request: &Request, now: Duration) -> Option<Self> {
        let value = match rule.kind {
            SessionKind::Cookie => request.cookie(&rule.name)?.to_owned(),
            SessionKind::Header => {
                let header = HeaderName::try_from(&*rule.name).ok()?;
                request.headers.get(header)?.to_str().ok()?.to_owned()
            }
        };
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
        let (began, endpoint) = text.split_once(' ')?;
        let session = Self { endpoint: endpoint.to_owned(), began: began.parse().ok()? };
        // One that begins in the future would never end.
        let age = now.as_secs().checked_sub(session.began)?;
        let over = rule.absolute_timeout.is_some_and(|limit| !limit.is_zero() && age >= limit.as_secs());
        (!over).then_some(session)
    }

    /// Tells the client to remember the session, where it does not do so already.
    pub fn remember(
        &self,
        rule: &SessionPersistence,
        known: Option<&Self>,
        now: Duration,
        response: &mut HeaderMap,
    ) {
        if known == Some(self) {
            return;
        }
        let value = URL_SAFE_NO_PAD.encode(format!("{} {}", self.began, self.endpoint));
        let (name, line) = match rule.kind {
            SessionKind::Header => (HeaderName::try_from(&*rule.name).ok(), value),
            SessionKind::Cookie => {
                let limit = rule.absolute_timeout.filter(|limit| rule.permanent && !limit.is_zero());
                let left = limit.map(|limit| (limit.as_secs() + self.began).saturating_sub(now.as_secs()));
                let age = left.map(|left| format!("; Max-Age={left}")).unwrap_or_default();
                let path = rule.path.as_ref().map(|path| format!("; Path={path}")).unwrap_or_default();
                (Some(SET_COOKIE), format!("{}={value}{age}{path}; HttpOnly; SameSite=Lax", rule.name))
            }
        };
        if let (Some(name), Ok(line)) = (name, HeaderValue::try_from(line)) {
            response.append(name, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::sample::get;

    fn rule(kind: SessionKind) -> SessionPersistence {
        let name = if kind == SessionKind::Cookie { "sid" } else { "x-session" };
        SessionPersistence { kind, name: name.into(), absolute_timeout: None, permanent: false, path: None }
    }

    const NOW: Duration = Duration::from_secs(1000);

    fn session() -> Session {
        Session { endpoint: "[fd00::1]:80".into(), began: 1000 }
    }

    /// The value that a client was told, as it sends it back.
    fn told(rule: &SessionPersistence) -> Request {
        let mut response = HeaderMap::new();
        session().remember(rule, None, NOW, &mut response);
        match rule.kind {
            SessionKind::Header => get("/", &[("x-session", response["x-session"].to_str().unwrap())]),
            SessionKind::Cookie => {
                let line = response["set-cookie"].to_str().unwrap();
                get("/", &[("cookie", line.split(';').next().unwrap())])
            }
        }
    }

    #[test]
    fn what_a_client_is_told_comes_back() {
        for kind in [SessionKind::Cookie, SessionKind::Header] {
            let rule = rule(kind);
            assert_eq!(Session::of(&rule, &told(&rule), NOW), Some(session()), "{kind:?}");
            let mut response = HeaderMap::new();
            session().remember(&rule, Some(&session()), NOW, &mut response);
            assert!(response.is_empty(), "what it knows it is not told again");
            assert_eq!(Session::of(&rule, &get("/", &[]), NOW), None);
        }
    }

    #[test]
    fn sessions_end() {
        let limited = SessionPersistence {
            absolute_timeout: Some(Duration::from_secs(60)),
            ..rule(SessionKind::Cookie)
        };
        let request = told(&limited);
        let at = |seconds| Session::of(&limited, &request, Duration::from_secs(seconds)).is_some();
        assert_eq!([at(1000), at(1059), at(1060), at(999)], [true, true, false, false]);
        let endless = SessionPersistence { absolute_timeout: Some(Duration::ZERO), ..limited.clone() };
        assert!(Session::of(&endless, &request, Duration::from_secs(1_000_000)).is_some());
        let permanent = SessionPersistence { permanent: true, ..limited.clone() };
        let line = |rule: &SessionPersistence, now| {
            let mut response = HeaderMap::new();
            session().remember(rule, None, Duration::from_secs(now), &mut response);
            response["set-cookie"].to_str().unwrap().to_owned()
        };
        assert!(line(&permanent, 1010).contains("; Max-Age=50;"), "{}", line(&permanent, 1010));
        assert!(!line(&limited, 1010).contains("Max-Age"));
        let placed = SessionPersistence { path: Some("/a".into()), ..limited };
        assert!(line(&placed, 1010).contains("; Path=/a;"));
    }

    #[test]
    fn nonsense_is_no_session() {
        let rule = rule(SessionKind::Header);
        for text in
            ["", "!", "YWJj", &URL_SAFE_NO_PAD.encode("x y"), &URL_SAFE_NO_PAD.encode([0xff, b' ', b'a'])]
        {
            assert_eq!(Session::of(&rule, &get("/", &[("x-session", text)]), NOW), None, "{text}");
        }
    }
}
