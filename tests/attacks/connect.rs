//! A05, A06: an attacker with a valid certificate of the mesh asks for what no tunnel may give.

use ambit_identity::{Certificate, ExpectedPeers};
use ambit_netns::links::Links;
use ambit_tests::certificates::{runtime, valid};
use ambit_tests::frames::{self, Reply, Tunnel};
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::resources::policy;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] = &[
    ("a05_connect_reaches_only_the_pods_own_ports", a05_connect_reaches_only_the_pods_own_ports),
    ("a06_nothing_goes_upstream_before_the_answer", a06_nothing_goes_upstream_before_the_answer),
    ("a06_a_connect_that_is_none_is_refused", a06_a_connect_that_is_none_is_refused),
];

/// A victim, a place to attack it from, and a certificate of another pod.
struct Attack {
    mesh: Mesh,
    victim: Pod,
    other: Pod,
    outside: Pod,
    certificate: Certificate,
}

impl Attack {
    fn new(name: &str) -> Self {
        let mut mesh = Mesh::started(name);
        let (web, victim, other) =
            (mesh.pod("web", Side::A), mesh.pod("cart", Side::B), mesh.pod("other", Side::B));
        let outside = mesh.outsider("outside", Side::A);
        mesh.settled();
        let certificate = valid(&mesh, Side::A, &web.identity());
        Self { mesh, victim, other, outside, certificate }
    }

    async fn tunnel(
        &self,
        to: std::net::SocketAddr,
    ) -> Tunnel<ambit_identity::tls::TlsStream<tokio::net::TcpStream>> {
        let expected = ExpectedPeers::new([self.victim.identity()]);
        frames::tunnel(self.outside.netns(), to, &self.certificate, &expected).await
    }

    /// The answer to one request on a tunnel of its own.
    async fn answer(&self, request: &[u8]) -> Reply {
        let mut tunnel = self.tunnel(self.victim.at(15008)).await;
        // The peer may have hung up on the first bytes already.
        let _ = tunnel.send(request).await;
        tunnel.reply(1).await
    }

    /// The right request works, so the attacks do not fail for another reason.
    async fn works(&self, server: &Server) {
        for (to, target) in
            [(self.victim.at(15008), self.victim.at(8080)), (self.victim.at6(15008), self.victim.at6(8080))]
        {
            let before = server.seen.connections();
            let mut tunnel = self.tunnel(to).await;
            tunnel.send(&frames::connect(1, &target.to_string(), &[])).await.unwrap();
            assert_eq!(tunnel.reply(1).await, Reply::Status(200), "{target}");
            tunnel.send(&frames::data(1, b"hello", false)).await.unwrap();
            assert_eq!(tunnel.bytes(1).await, b"hello");
            assert_eq!(server.seen.connections(), before + 1);
        }
    }
}

fn refused(reply: &Reply) -> bool {
    !matches!(reply, Reply::Status(100..400))
}

fn a05_connect_reaches_only_the_pods_own_ports() {
    let attack = Attack::new("a05");
    let (victim, other) = (&attack.victim, &attack.other);
    let server = Server::echo(victim.netns(), 8080);
    // Whatever could be reached notes who comes.
    Links::open(victim.netns()).unwrap().address("lo", "169.254.169.254/32".parse().unwrap()).unwrap();
    let at = |ip: &str, port| {
        Server::start_at(
            victim.netns(),
            (ip.parse::<std::net::IpAddr>().unwrap(), port).into(),
            |connection| connection.echo(),
        )
    };
    let mut traps = vec![
        at("127.0.0.1", 9090),
        at("::1", 9090),
        at("169.254.169.254", 80),
        at("0.0.0.0", 15000),
        at("0.0.0.0", 15053),
    ];
    traps.push(Server::echo(other.netns(), 8080));
    traps.push(Server::echo(attack.mesh.node(Side::B), 8080));
    traps.push(Server::echo(attack.outside.netns(), 8080));
    let (v4, v6) = (victim.place.v4, victim.place.v6);
    let node = Side::B.address();
    let mut authorities: Vec<String> = [
        "127.0.0.1:9090",
        "127.0.0.1:8080",
        "127.1.2.3:8080",
        "0.0.0.0:8080",
        "0.0.0.0:9090",
        "[::1]:9090",
        "[::1]:8080",
        "[::]:8080",
        "[::ffff:127.0.0.1]:9090",
        "[::ffff:0.0.0.0]:8080",
        "[::ffff:7f00:1]:9090",
        "[::127.0.0.1]:9090",
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[fd00:ec2::254]:80",
        "255.255.255.255:8080",
        "224.0.0.1:8080",
        "[ff02::1]:8080",
        "[fe80::1%eth0]:8080",
        "[fe80::1%25eth0]:8080",
        "[fe80::1]:8080",
        "localhost:8080",
        "localhost:9090",
        "cart:8080",
        "cart.shop:8080",
        "unknown.shop.svc.cluster.local:8080",
        "2130706433:9090",
        "0x7f000001:9090",
        "0177.0.0.1:9090",
        "127.1:9090",
        "",
        ":",
        ":8080",
        "8080",
        "/",
        "*",
        "*:8080",
        "http://127.0.0.1:9090",
        "127.0.0.1:9090/x",
        "[::1:9090",
        "::1:9090",
    ]
    .map(str::to_owned)
    .to_vec();
    authorities.extend([
        format!("{}", other.at(8080)),
        format!("{}", other.at6(8080)),
        format!("{node}:8080"),
        format!("[{v4}]:8080"),
        format!("{}", attack.outside.at(8080)),
        format!("[{v6}%eth0]:8080"),
        format!("[{v6}]:8080"),
        format!("user@{v4}:8080"),
        format!("user:password@{v4}:8080"),
        format!("@{v4}:8080"),
        format!("{v4}@127.0.0.1:9090"),
        format!("127.0.0.1:9090@{v4}:8080"),
        format!("{v4}"),
        format!("{v4}:"),
        format!("{v4}:0"),
        format!("{v4}:15000"),
        format!("{v4}:15001"),
        format!("{v4}:15006"),
        format!("{v4}:15008"),
        format!("{v4}:15053"),
        format!("{v4}:65536"),
        format!("{v4}:73616"),
        format!("{v4}:-1"),
        format!("{v4}:+8080"),
        format!("{v4}:8080:9090"),
        format!("{v4}:8080/"),
        format!("{v4}:8080?x"),
        format!("{v4}:8080#x"),
        format!(" {v4}:8080"),
        format!("{v4}:8080 "),
        format!("{v4}.:8080"),
        format!("{v4},127.0.0.1:9090"),
        format!("{v4}%00:8080"),
        format!("{v4}:http"),
        format!("{v4}:4294975376"),
    ]);
    runtime().block_on(async {
        attack.works(&server).await;
        let before = server.seen.connections();
        for authority in &authorities {
            let reply = attack.answer(&frames::connect(1, authority, &[])).await;
            assert!(refused(&reply), "{authority:?} was answered {reply:?}");
        }
        // Two authorities, and a host that contradicts.
        let own = victim.at(8080).to_string();
        for further in [(":authority", "127.0.0.1:9090"), ("host", "127.0.0.1:9090")] {
            let _ = attack.answer(&frames::connect(1, &own, &[further])).await;
        }
        let reply =
            attack.answer(&frames::headers(1, &[(":method", "CONNECT"), ("host", &own)], false)).await;
        assert!(refused(&reply), "a host header served as authority: {reply:?}");
        for (number, trap) in traps.iter().enumerate() {
            assert_eq!(trap.seen.connections(), 0, "trap {number} was reached");
        }
        assert!(server.seen.connections() <= before + 2, "an attack reached the application");
        attack.works(&server).await;
    });
}

fn a06_nothing_goes_upstream_before_the_answer() {
    let attack = Attack::new("a06");
    let victim = &attack.victim;
    let (open, closed) = (Server::echo(victim.netns(), 8080), Server::echo(victim.netns(), 8081));
    attack.mesh.apply(
        "policy-ports",
        &policy("ports", "cart", "ALLOW", "[{to: [{operation: {ports: [\"8080\"]}}]}]"),
    );
    attack.mesh.policy_is("ports", true);
    let denied = victim.at(8081).to_string();
    runtime().block_on(async {
        attack.works(&open).await;
        // Early data with the request.
        let early = [frames::connect(1, &denied, &[]), frames::data(1, b"early-data", false)].concat();
        assert_eq!(attack.answer(&early).await, Reply::Status(401));
        // With its end at once.
        let ended = [frames::connect(1, &denied, &[]), frames::data(1, b"early-data", true)].concat();
        assert_eq!(attack.answer(&ended).await, Reply::Status(401));
        // Four megabytes, then a reset; the window is not asked for.
        let mut much = frames::connect(1, &denied, &[]);
        let block = vec![b'x'; 16 * 1024];
        (0..256).for_each(|_| much.extend(frames::data(1, &block, false)));
        much.extend(frames::reset(1, 8));
        let mut tunnel = attack.tunnel(victim.at(15008)).await;
        let _ = tunnel.send(&much).await;
        // Data after the refusal, on a tunnel that goes on.
        let mut tunnel = attack.tunnel(victim.at(15008)).await;
        tunnel.send(&frames::connect(1, &denied, &[])).await.unwrap();
        assert_eq!(tunnel.reply(1).await, Reply::Status(401));
        tunnel.send(&frames::data(1, b"late-data", true)).await.unwrap();
        tunnel.send(&frames::connect(3, &victim.at(8080).to_string(), &[])).await.unwrap();
        tunnel.send(&frames::data(3, b"hello", false)).await.unwrap();
        assert_eq!(tunnel.bytes(3).await, b"hello");
    });
    // A port that nobody listens on: the bytes before the answer go nowhere.
    let wider = policy("ports", "cart", "ALLOW", "[{to: [{operation: {ports: [\"8080\", \"8082\"]}}]}]");
    attack.mesh.apply("policy-ports", &wider);
    let nobody = victim.at(8082).to_string();
    let nobody = [frames::connect(1, &nobody, &[]), frames::data(1, b"early-data", false)].concat();
    wait_until("the wider policy is in force", || {
        let reply = runtime().block_on(attack.answer(&nobody));
        assert!(matches!(reply, Reply::Status(401 | 503)), "{reply:?}");
        reply == Reply::Status(503)
    });
    runtime().block_on(attack.works(&open));
    assert_eq!(
        (closed.seen.connections(), closed.seen.bytes()),
        (0, 0),
        "a denied connection reached the application"
    );
}

fn a06_a_connect_that_is_none_is_refused() {
    let attack = Attack::new("a06-forms");
    let server = Server::echo(attack.victim.netns(), 8080);
    let own = attack.victim.at(8080).to_string();
    let connect = |further: &[(&str, &str)]| {
        [frames::connect(1, &own, further), frames::data(1, b"smuggled", true)].concat()
    };
    let method = |method: &str| {
        let fields = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", own.as_str())];
        [frames::headers(1, &fields, false), frames::data(1, b"smuggled", true)].concat()
    };
    let requests = [
        (":path", connect(&[(":path", "/")])),
        (":scheme", connect(&[(":scheme", "http")])),
        (":path and :scheme", connect(&[(":scheme", "https"), (":path", "/")])),
        ("content-length", connect(&[("content-length", "8")])),
        ("content-length 0", connect(&[("content-length", "0")])),
        ("transfer-encoding", connect(&[("transfer-encoding", "chunked")])),
        ("connection", connect(&[("connection", "upgrade")])),
        (":protocol", connect(&[(":protocol", "websocket"), (":scheme", "http"), (":path", "/")])),
        ("an upper-case name", connect(&[("X-Upper", "1")])),
        ("a line break in a value", connect(&[("x", "a\r\nb: c")])),
        ("a second method", connect(&[(":method", "GET")])),
        ("an unknown pseudo field", connect(&[(":ambit", "1")])),
        ("GET", method("GET")),
        ("POST", method("POST")),
        ("connect in lower case", method("connect")),
    ];
    runtime().block_on(async {
        attack.works(&server).await;
        let before = (server.seen.connections(), server.seen.bytes());
        for (what, request) in &requests {
            let reply = attack.answer(request).await;
            assert!(refused(&reply), "{what} was answered {reply:?}");
        }
        assert_eq!(
            (server.seen.connections(), server.seen.bytes()),
            before,
            "an attack reached the application"
        );
        attack.works(&server).await;
    });
}
