//! Cross-origin requests (Fetch standard, section 3.3; Gateway API HTTPCORSFilter, Istio CorsPolicy).

use ambit_model::l7::matching::ValueMatch;
use ambit_model::l7::route::Cors;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use super::expression::{InvalidExpression, Patterns};
use super::value::Value;

/// Response headers that this policy alone decides about.
const OWN: [HeaderName; 3] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
];

/// A policy, ready for use.
#[derive(Debug)]
pub struct CorsPolicy {
    origins: Vec<Value>,
    any_origin: bool,
    methods: Vec<String>,
    headers: Vec<String>,
    expose: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    credentials: bool,
    forward_unmatched: bool,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOutcome {
    /// It goes on, and [`CorsPolicy::decorate`] is applied to its response with this origin; `None` leaves the response
    /// as it is.
    Forward(Option<HeaderValue>),
    /// It is a preflight, answered 200 with these headers.
    Answer(HeaderMap),
}

impl CorsPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// An origin's expression is invalid.
    pub fn compile(cors: &Cors, patterns: &mut Patterns) -> Result<Self, InvalidExpression> {
        let origins =
            cors.origins.iter().map(|origin| Value::compile(origin, patterns)).collect::<Result<_, _>>()?;
        let any = |origin: &ValueMatch| match origin {
            ValueMatch::Exact(text) => &**text == "*",
            ValueMatch::Present => true,
            _ => false,
        };
        let words = |list: &[ambit_model::Text]| list.iter().map(|word| word.to_string()).collect();
        Ok(Self {
            origins,
            any_origin: cors.origins.iter().any(any),
            methods: words(&cors.methods),
            headers: words(&cors.headers),
            expose: joined(&cors.expose),
            max_age: cors.max_age.map(|age| HeaderValue::from(age.as_secs())),
            credentials: cors.credentials,
            forward_unmatched: cors.forward_unmatched,
        })
    }

    /// What happens to a request by its method and headers.
    pub fn receive(&self, method: &Method, headers: &HeaderMap) -> CorsOutcome {
        let Some(origin) = headers.get(header::ORIGIN) else { return CorsOutcome::Forward(None) };
        let allowed = self.any_origin || self.origins.iter().any(|each| each.holds(origin.as_bytes()));
        let preflight =
            method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        match (preflight, allowed) {
            (true, true) => CorsOutcome::Answer(self.preflight(origin, headers)),
            (true, false) if !self.forward_unmatched => CorsOutcome::Answer(HeaderMap::new()),
            (false, true) => CorsOutcome::Forward(Some(origin.clone())),
            (_, false) => CorsOutcome::Forward(None),
        }
    }

    /// Says in a response that a script of this origin may read it. What the application says about it is replaced.
    pub fn decorate(&self, origin: &HeaderValue, response: &mut HeaderMap) {
        for name in OWN {
            response.remove(name);
        }
        self.allow_origin(origin, response);
        if let Some(expose) = &self.expose {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    fn allow_origin(&self, origin: &HeaderValue, response: &mut HeaderMap) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        // Caches must not give one origin's answer to another.
        response.append(header::VARY, HeaderValue::from_static("origin"));
        if self.credentials {
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn preflight(&self, origin: &HeaderValue, request: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        self.allow_origin(origin, &mut answer);
        let asked = |name| request.get(name).cloned();
        let methods = self.list(&self.methods, asked(header::ACCESS_CONTROL_REQUEST_METHOD));
        let headers = self.list(&self.headers, asked(header::ACCESS_CONTROL_REQUEST_HEADERS));
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
        ] {
            if let Some(value) = value {
                answer.insert(name, value);
            }
        }
        answer
    }

    /// `*` does not cover requests with credentials: these are told what they asked for.
    fn list(&self, words: &[String], asked: Option<HeaderValue>) -> Option<HeaderValue> {
        match words.iter().any(|word| word == "*") {
            true if self.credentials => asked,
            true => Some(HeaderValue::from_static("*")),
            false => joined(words),
        }
    }
}

fn joined(words: &[impl AsRef<str>]) -> Option<HeaderValue> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    if words.is_empty() { None } else { HeaderValue::try_from(words.join(",")).ok() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::request::sample::headers;

    fn policy(change: impl FnOnce(&mut Cors)) -> CorsPolicy {
        let mut cors = Cors {
            origins: vec![
                ValueMatch::Exact("https://a.org".into()),
                ValueMatch::Regex(r"https://[a-z]+\.b\.org".into()),
            ],
            methods: vec!["GET".into(), "PUT".into()],
            headers: vec!["x-a".into()],
            expose: vec!["x-b".into(), "x-c".into()],
            max_age: Some(Duration::from_secs(60)),
            ..Cors::default()
        };
        change(&mut cors);
        CorsPolicy::compile(&cors, &mut Patterns::default()).unwrap()
    }

    fn preflight(policy: &CorsPolicy, origin: &str) -> CorsOutcome {
        let lines = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-q, x-r"),
        ];
        policy.receive(&Method::OPTIONS, &headers(&lines))
    }

    #[test]
    fn preflights_of_allowed_origins_are_answered() {
        let expected = headers(&[
            ("access-control-allow-origin", "https://x.b.org"),
            ("vary", "origin"),
            ("access-control-allow-methods", "GET,PUT"),
            ("access-control-allow-headers", "x-a"),
            ("access-control-max-age", "60"),
        ]);
        assert_eq!(preflight(&policy(|_| {}), "https://x.b.org"), CorsOutcome::Answer(expected));
    }

    #[test]
    fn other_origins_get_nothing() {
        for origin in
            ["https://b.org", "https://x.b.org.evil.org", "https://a.org.evil", "null", "http://a.org"]
        {
            let forward = policy(|cors| cors.forward_unmatched = true);
            assert_eq!(preflight(&forward, origin), CorsOutcome::Forward(None), "{origin}");
            assert_eq!(preflight(&policy(|_| {}), origin), CorsOutcome::Answer(HeaderMap::new()), "{origin}");
            let plain = policy(|_| {}).receive(&Method::GET, &headers(&[("origin", origin)]));
            assert_eq!(plain, CorsOutcome::Forward(None), "{origin}");
        }
    }

    #[test]
    fn responses_say_what_the_policy_says() {
        let policy = policy(|cors| cors.credentials = true);
        let request = headers(&[("origin", "https://a.org")]);
        let CorsOutcome::Forward(Some(origin)) = policy.receive(&Method::GET, &request) else {
            panic!("forwarded")
        };
        let mut response = headers(&[("access-control-allow-origin", "*"), ("vary", "accept"), ("x", "1")]);
        policy.decorate(&origin, &mut response);
        let expected = headers(&[
            ("vary", "accept"),
            ("vary", "origin"),
            ("x", "1"),
            ("access-control-allow-origin", "https://a.org"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-b,x-c"),
        ]);
        assert_eq!(response, expected);
    }

    #[test]
    fn plain_requests_and_plain_options_go_on() {
        let policy = policy(|_| {});
        assert_eq!(policy.receive(&Method::GET, &headers(&[])), CorsOutcome::Forward(None));
        let origin = HeaderValue::from_static("https://a.org");
        let options = policy.receive(&Method::OPTIONS, &headers(&[("origin", "https://a.org")]));
        assert_eq!(options, CorsOutcome::Forward(Some(origin)), "no preflight asks for no method");
    }

    /// A star is no wildcard where credentials are allowed: what was asked for is named.
    #[test]
    fn stars_and_credentials() {
        let stars = |credentials| {
            policy(|cors| {
                cors.origins = vec![ValueMatch::Exact("*".into())];
                cors.methods = vec!["*".into()];
                cors.headers = vec!["*".into()];
                cors.credentials = credentials;
            })
        };
        let answer = |credentials| match preflight(&stars(credentials), "https://any.org") {
            CorsOutcome::Answer(answer) => answer,
            other => panic!("{other:?}"),
        };
        assert_eq!(answer(false)["access-control-allow-methods"], "*");
        assert_eq!(answer(false)["access-control-allow-headers"], "*");
        assert_eq!(answer(true)["access-control-allow-origin"], "https://any.org");
        assert_eq!(answer(true)["access-control-allow-methods"], "PUT");
        assert_eq!(answer(true)["access-control-allow-headers"], "x-q, x-r");
    }
}
