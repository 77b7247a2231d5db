//! What became of one request at the waypoint, by the word of its log? Pure: finds the lines that belong to a call.

use serde::{Deserialize, Serialize};

use crate::shop::words::Call;

/// A line of the waypoint's access log. The names in the log are Istio's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The host that the client asked.
    pub(crate) authority: String,
    /// The pod that answered; none when the waypoint did.
    #[serde(rename = "dst.workload")]
    pub(crate) answered_by: Option<String>,
    /// What the client's certificate says.
    #[serde(rename = "src.identity")]
    pub(crate) client: Option<String>,
    /// The status.
    #[serde(rename = "response_code")]
    pub(crate) status: u16,
    /// Envoy's letters for what went wrong; `-` when nothing did.
    #[serde(rename = "response_flags")]
    pub(crate) flags: String,
    /// Who decided, and why.
    #[serde(rename = "response_code_details")]
    pub(crate) details: String,
    /// The same for a request and those that are made to answer it.
    pub(crate) request_id: Option<String>,
    scope: String,
}

/// A request, put together from what the client saw and what the waypoint logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The calling pod.
    pub(crate) from: String,
    /// The Service that was asked.
    pub(crate) to: String,
    /// `GET /items`.
    pub(crate) request: String,
    /// The status that the client got, or why it got none.
    pub(crate) outcome: Result<u16, String>,
    /// The waypoint's word on it.
    pub(crate) told: Told,
    /// Its word on the requests that were made in order to answer it.
    pub(crate) inner: Vec<Told>,
}

impl Told {
    /// A line about a request; nothing when the line is about something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        (line.scope == "access").then_some(line)
    }

    /// Whether the client asked this host.
    fn is_of(&self, host: &str) -> bool {
        self.authority == host
    }

    /// Whether the waypoint flagged it so.
    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(',').any(|each| each == flag)
    }
}

/// What the log says about `call`, whose request was sent with `id`, once it says it; its lines are taken out of `told`.
/// What is made to answer a request is logged before the request itself.
pub(crate) fn take(call: &Call, id: &str, told: &mut Vec<Told>) -> Option<Request> {
    let is_ours = |line: &Told| line.request_id.as_deref() == Some(id);
    if !told.iter().any(|line| is_ours(line) && line.is_of(&call.to)) {
        return None;
    }
    let (own, inner): (Vec<_>, Vec<_>) =
        told.extract_if(.., |line| is_ours(line)).partition(|line| line.is_of(&call.to));
    Some(Request {
        from: call.from.clone(),
        to: call.to.clone(),
        request: call.request.clone(),
        outcome: call.outcome.clone(),
        told: own.into_iter().next()?,
        inner,
    })
}

impl Request {
    /// Whether client and waypoint agree on this status.
    pub(crate) fn is(&self, status: u16) -> bool {
        self.outcome == Ok(status) && self.told.status == status
    }

    /// Whether the pod of this name answered with success.
    pub(crate) fn is_answered_by(&self, pod: &str) -> bool {
        self.is(200) && self.told.answered_by.as_deref() == Some(pod)
    }

    /// Whether the waypoint answered by itself with this status and flag.
    pub(crate) fn is_refused(&self, status: u16, flag: &str) -> bool {
        self.is(status) && self.told.answered_by.is_none() && self.told.has_flag(flag)
    }

    /// Who answered, and why.
    pub(crate) fn words(&self) -> String {
        let Told { answered_by, flags, details, .. } = &self.told;
        match (&self.outcome, answered_by) {
            (Err(reason), _) => reason.clone(),
            (Ok(_), Some(pod)) => format!("by {pod}"),
            (Ok(_), None) => match flags.as_str() {
                "-" => format!("waypoint: {details}"),
                flags => format!("waypoint: {flags} {details}"),
            },
        }
    }

    /// All of it in one line.
    pub(crate) fn sentence(&self) -> String {
        let status = self
            .outcome
            .as_ref()
            .map_or_else(|_| "no status".to_owned(), |status| format!("status {status}"));
        format!("{} -> {} {}: {status}, {}", self.from, self.to, self.request, self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, host: &str, status: u16, rest: &str) -> Told {
        let text = format!(
            r#"{{"level":"info","scope":"access","method":"GET","path":"/","response_code":{status},"response_flags":"-","response_code_details":"via_upstream","request_id":"{id}","authority":"{host}"{rest},"message":"request complete"}}"#
        );
        Told::parse(&text).unwrap()
    }

    fn call(to: &str, status: u16) -> Call {
        Call {
            number: Some(1),
            from: "web".into(),
            to: to.into(),
            request: "GET /best".into(),
            local: None,
            remote: None,
            outcome: Ok(status),
            bytes: 0,
            microseconds: 900,
        }
    }

    #[test]
    fn a_request_is_told_with_those_inside_it() {
        let pod = r#","dst.workload":"offers-v2""#;
        let other = line("web-2", "offers", 200, pod);
        let mut told =
            vec![line("web-1", "prices", 503, ""), other.clone(), line("web-1", "prices", 200, "")];
        assert_eq!(take(&call("offers", 200), "web-1", &mut told), None, "its own line is awaited");
        assert_eq!(told.len(), 3);
        told.push(line("web-1", "offers", 200, pod));
        let request = take(&call("offers", 200), "web-1", &mut told).unwrap();
        assert_eq!(request.inner.iter().map(|line| line.status).collect::<Vec<_>>(), [503, 200]);
        assert!(request.is_answered_by("offers-v2") && !request.is_answered_by("offers"));
        assert_eq!(told, [other]);
        assert!(request.sentence().ends_with("status 200, by offers-v2"), "{}", request.sentence());
    }

    #[test]
    fn a_refusal_is_the_waypoints_own() {
        let refused = Told { flags: "UF,UH".into(), ..line("web-1", "prices", 503, "") };
        let request = take(&call("prices", 503), "web-1", &mut vec![refused.clone()]).unwrap();
        assert!(
            request.is_refused(503, "UH") && !request.is_refused(503, "U") && !request.is_refused(500, "UH")
        );
        let answered = Told { answered_by: Some("prices".into()), ..refused.clone() };
        let request = take(&call("prices", 503), "web-1", &mut vec![answered]).unwrap();
        assert!(request.is(503) && !request.is_refused(503, "UH"), "a pod said it");
        let request = take(&call("prices", 200), "web-1", &mut vec![refused]).unwrap();
        assert!(!request.is(200) && !request.is(503), "client and waypoint must agree");
    }

    #[test]
    fn other_lines_are_none() {
        for text in ["", "starting", "{}", r#"{"level":"info","scope":"app","message":"ready"}"#] {
            assert_eq!(Told::parse(text), None);
        }
    }
}
