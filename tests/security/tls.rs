//! What the server says to a storage whose certificate it cannot verify: nothing, neither through TLS nor beside it.
//!
//! The certificates are made by OpenSSL's program. The endpoint counts who speaks to it and how; where a storage is to
//! work, it gives what comes through TLS on to a second server of ours.
//!
//! **Invariant:** what came is counted when all connections have ended, so nothing is overlooked that was under way.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::server::{ROOT_ACCESS_KEY, ROOT_SECRET};
use crate::harness::{Options, Server, has_tool, longshore};

/// What every storage of these tests is told, and what nobody else may be.
const SECRET: &str = "c2VjcmV0LW9mLXRlc3RzLW9ubHk=";
/// How long a connection may be silent before the endpoint gives it up.
const SILENCE: Duration = Duration::from_secs(20);
/// The first byte of a connection that begins with TLS.
const TLS: u8 = 0x16;

/// What the program that makes certificates reads.
const SETTINGS: &str = "[req]
distinguished_name = req
x509_extensions = authority
[authority]
basicConstraints = critical, CA:TRUE
[ca]
default_ca = issuer
[issuer]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
[names]
commonName = supplied
";

/// Who issues certificates, in a directory of its own.
struct Issuer(tempfile::TempDir);

impl Issuer {
    fn new() -> Self {
        let issuer = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in [("settings", SETTINGS), ("index", ""), ("serial", "1000\n")] {
            std::fs::write(issuer.path(name), text).expect("written");
        }
        issuer.key("issuer.key");
        let own = ["-key", "issuer.key", "-subj", "/CN=an issuer of tests", "-days", "2", "-out", "issuer.pem"];
        issuer.openssl(&[&["req", "-config", "settings", "-new", "-x509"], &own[..]].concat());
        issuer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(self.0.path()).stdin(Stdio::null()).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn key(&self, name: &str) {
        let kind = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.openssl(&[&["genpkey", "-out", name], &kind[..]].concat());
    }

    /// The certificate of whom it trusts, which has signed itself.
    fn own(&self) -> Arc<ServerConfig> {
        served_by(&self.path("issuer.pem"), &self.path("issuer.key"))
    }

    /// A certificate for a name or an address, for as long as `dates` say.
    fn issue(&self, name: &str, of: &str, dates: &[&str]) -> Arc<ServerConfig> {
        let file = |kind: &str| format!("{name}.{kind}");
        let (key, asked, extensions, made) = (file("key"), file("csr"), file("extensions"), file("pem"));
        let text = format!("basicConstraints = CA:FALSE\nsubjectAltName = {of}\n");
        std::fs::write(self.path(&extensions), text).expect("written");
        self.key(&key);
        let subject = format!("/CN={name}");
        self.openssl(&["req", "-config", "settings", "-new", "-key", &key, "-subj", &subject, "-out", &asked]);
        let by = ["-cert", "issuer.pem", "-keyfile", "issuer.key", "-in", &asked, "-extfile", &extensions];
        let rest = ["-out", &made, "-notext", "-batch"];
        self.openssl(&[&["ca", "-config", "settings"], &by[..], &rest[..], dates].concat());
        served_by(&self.path(&made), &self.path(&key))
    }

    /// A certificate of the address at which endpoints are.
    fn sound(&self) -> Arc<ServerConfig> {
        self.issue("sound", "IP:127.0.0.1", &["-days", "2"])
    }

    /// The line of a provider that trusts it.
    fn bundle(&self) -> String {
        format!("ca_bundle = {:?}\n", self.path("issuer.pem"))
    }
}

fn served_by(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).expect("they belong together"))
}

/// Connections that were taken, and what became of those that spoke.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicUsize,
    ended: AtomicUsize,
    /// Began with TLS.
    begun: AtomicUsize,
    /// Agreed on keys, after which requests are sent.
    agreed: AtomicUsize,
    /// Began with anything else.
    clear: AtomicUsize,
}

/// A server of TLS.
struct Endpoint {
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Endpoint {
    /// Begins to listen; `behind`: where requests are given on to.
    fn start(tls: &Arc<ServerConfig>, behind: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (tls, counts) = (Arc::clone(tls), Arc::<Counts>::default());
        let endpoint = Self { address, counts: Arc::clone(&counts) };
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (tls, counts) = (Arc::clone(&tls), Arc::clone(&counts));
                counts.taken.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // How a connection ends is for who opened it to say.
                    let _ = serve(socket, tls, behind, &counts);
                    counts.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        endpoint
    }

    /// How many connections began with TLS, agreed on keys, and began otherwise, once all have ended.
    fn seen(&self) -> (usize, usize, usize) {
        // Connections are taken in their order: when this one was, no earlier one waits.
        let mut last = TcpStream::connect(self.address).expect("a connection");
        last.shutdown(Shutdown::Write).expect("half closed");
        let _ = last.read_to_end(&mut Vec::new());
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let deadline = Instant::now() + 2 * SILENCE;
        while count(&self.counts.ended) < count(&self.counts.taken) {
            assert!(Instant::now() < deadline, "a connection does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        (count(&self.counts.begun), count(&self.counts.agreed), count(&self.counts.clear))
    }
}

fn serve(socket: TcpStream, tls: Arc<ServerConfig>, behind: Option<SocketAddr>, counts: &Counts) -> io::Result<()> {
    socket.set_read_timeout(Some(SILENCE))?;
    let mut first = [0];
    match socket.peek(&mut first)? {
        0 => return Ok(()),
        _ if first[0] == TLS => counts.begun.fetch_add(1, Ordering::SeqCst),
        _ => {
            counts.clear.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
    };
    let mut stream = StreamOwned::new(ServerConnection::new(tls).map_err(io::Error::other)?, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    counts.agreed.fetch_add(1, Ordering::SeqCst);
    if let Some(behind) = behind {
        give_on(&mut stream, behind)?;
    }
    stream.conn.send_close_notify();
    stream.flush()
}

/// Gives one request on, and its answer back, as the last one of both connections.
fn give_on(near: &mut (impl Read + Write), to: SocketAddr) -> io::Result<()> {
    let mut request = Vec::new();
    let mut block = vec![0; 64 << 10];
    while !is_whole(&request) {
        match near.read(&mut block)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&block[..read]),
        }
    }
    let line = request.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut far = TcpStream::connect(to)?;
    far.write_all(&[&request[..line], &b"connection: close\r\n"[..], &request[line..]].concat())?;
    let mut answer = Vec::new();
    far.read_to_end(&mut answer)?;
    near.write_all(&answer)
}

/// Whether all of a request is there.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let body = &request[end + 4..];
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None if head.contains("transfer-encoding: chunked") => body.ends_with(b"0\r\n\r\n"),
        None => true,
    }
}

/// The providers that are across a network, each at the endpoint.
fn sections(at: SocketAddr) -> [(&'static str, String); 6] {
    let user = format!("username = \"u\"\npassword = \"{SECRET}\"\nproject = \"p\"\ndomain = \"d\"\n");
    [
        ("amazon", format!("endpoint = \"https://{at}\"\nkeyId = \"AKIAEXAMPLE\"\nkey = \"{SECRET}\"\n")),
        ("azure", format!("endpoint = \"https://{at}/a\"\nstorageAccount = \"a\"\nstorageAccessKey = \"{SECRET}\"\n")),
        (
            "google",
            format!(
                "endpoint = \"https://{at}\"\nprojectId = \"p\"\n\
                 service_account_key = '{{\"disable_oauth\":true,\"private_key\":\"{SECRET}\"}}'\n"
            ),
        ),
        ("openstack", format!("authUrl = \"https://{at}/v3\"\n{user}")),
        ("rackspace", format!("authUrl = \"https://{at}/v2.0\"\nusername = \"u\"\napiKey = \"{SECRET}\"\n")),
        ("remote", format!("url = \"https://{at}/api\"\naccessToken = \"{SECRET}\"\n")),
    ]
}

fn entry(kind: &str, section: &str, more: &str) -> String {
    format!("[[provider]]\nname = \"far\"\nprovider = \"{kind}\"\nretries_max = 1\n{section}{more}")
}

/// What `check` says of a configuration, under the certificates of the system or these.
fn check(config: &str, trusted: Option<&Path>) -> Output {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("longshore.toml");
    std::fs::write(&file, config).expect("a configuration file");
    let mut command = longshore(&["check"]);
    command.env("LONGSHORE_CONFIG", &file).env("LONGSHORE_DIR", home.path().join("data"));
    command.envs(trusted.map(|trusted| ("SSL_CERT_FILE", trusted)));
    command.output().expect("the built program")
}

/// Requires that a provider is refused for its certificate, and that nothing was said to it.
fn refused(what: &str, tls: &Arc<ServerConfig>, kinds: &[&str], more: &str) {
    for kind in kinds {
        let endpoint = Endpoint::start(tls, None);
        let all = sections(endpoint.address);
        let (_, section) = all.iter().find(|(name, _)| name == kind).expect("it is known");
        let output = check(&entry(kind, section, more), None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{kind}, {what}: {said}");
        for part in ["provider far: ", "invalid peer certificate"] {
            assert!(said.contains(part), "{kind}, {what}: {said}");
        }
        assert!(!said.contains(SECRET), "{kind}, {what}: {said}");
        let seen @ (begun, agreed, clear) = endpoint.seen();
        assert!(begun > 0 && (agreed, clear) == (0, 0), "{kind}, {what}: {seen:?}");
    }
}

#[test]
fn no_storage_is_told_anything_before_its_certificate_is_verified() {
    if !has_tool("no_storage_is_told_anything", "openssl", "it makes the certificates") {
        return;
    }
    let (known, other) = (Issuer::new(), Issuer::new());
    let ended = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
    let kinds = ["amazon", "azure", "google", "openstack", "rackspace", "remote"];
    refused("an issuer that nobody knows", &known.sound(), &kinds, "");
    // Two clients serve all kinds of providers.
    let clients = ["amazon", "remote"];
    refused("a certificate that has signed itself", &known.own(), &clients, "");
    refused("another issuer than is trusted", &other.sound(), &clients, &known.bundle());
    let misnamed = known.issue("misnamed", "DNS:elsewhere.example, IP:127.0.0.2", &["-days", "2"]);
    refused("another name", &misnamed, &clients, &known.bundle());
    refused("a certificate that has ended", &known.issue("ended", "IP:127.0.0.1", &ended), &clients, &known.bundle());
}

/// Buckets of such a storage are unavailable, however often they are asked for, and the keys of tokens are no others.
#[tokio::test]
async fn a_server_serves_and_says_nothing_to_what_it_cannot_verify() {
    if !has_tool("a_server_serves_and_says_nothing", "openssl", "it makes the certificates") {
        return;
    }
    let issuer = Issuer::new();
    let tls = issuer.sound();
    let (storage, keys) = (Endpoint::start(&tls, None), Endpoint::start(&tls, None));
    let (kind, section) = sections(storage.address).into_iter().next().expect("one");
    let jwt = format!("[jwt]\njwks_url = \"https://{}/jwks.json\"\n", keys.address);
    let config = format!("{}{jwt}[server]\ndefault_provider = \"far\"\n", entry(kind, &section, ""));
    let mut server = Server::with(Options::default().config(&config));
    let root = server.root();
    for _ in 0..3 {
        root.create_bucket("photos").await.refused(503, "ServiceUnavailable");
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while keys.seen().0 == 0 {
        assert!(Instant::now() < deadline, "the keys are not asked for: {}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.stop().success());
    assert!(server.log().contains("invalid peer certificate") && !server.log().contains(SECRET));
    for (what, endpoint) in [("the storage", storage), ("the keys", keys)] {
        let seen @ (begun, agreed, clear) = endpoint.seen();
        assert!(begun > 0 && (agreed, clear) == (0, 0), "{what}: {seen:?}");
    }
}

/// The issuer of a private network is named to the provider, or to the whole process in place of those of the system.
#[tokio::test]
async fn a_storage_whose_issuer_is_trusted_works() {
    if !has_tool("a_storage_whose_issuer_is_trusted_works", "openssl", "it makes the certificates") {
        return;
    }
    let issuer = Issuer::new();
    let tls = issuer.sound();
    let mount = "[[loopback.mount]]\npath = \"/api/containers\"\nmax_file_size = 100000000\n";
    let behind = Server::with(Options::default().config(mount));
    behind.root().create_bucket("photos").await.expect(200);
    let amazon = Endpoint::start(&tls, Some(behind.s3));
    let keys = format!("keyId = \"{ROOT_ACCESS_KEY}\"\nkey = \"{ROOT_SECRET}\"\nregion = \"us-east-1\"\n");
    let section = format!("endpoint = \"https://{}\"\n{keys}", amazon.address);
    let own = issuer.path("issuer.pem");
    for (more, trusted) in [(issuer.bundle(), None), (String::new(), Some(own.as_path()))] {
        let output = check(&entry("amazon", &section, &more), trusted);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("amazon, 1 containers"), "{said}");
    }
    let (_, agreed, clear) = amazon.seen();
    assert!(agreed > 1 && clear == 0, "{agreed} agreed, {clear} clear");
    behind.run(&["user", "create", "far", "--policy", "admin"]);
    let token = behind.run(&["token", "create", "--user", "far"]).trim().to_owned();
    let remote = Endpoint::start(&tls, Some(behind.rest));
    let section = format!("url = \"https://{}/api\"\naccessToken = \"{token}\"\nadopt = false\n", remote.address);
    let config = format!("{}[server]\ndefault_provider = \"far\"\n", entry("remote", &section, &issuer.bundle()));
    let mut server = Server::with(Options::default().config(&config));
    let root = server.root();
    root.create_bucket("papers").await.expect(200);
    root.put("papers", "k", "by way of TLS").await.expect(200);
    assert_eq!(root.get("papers", "k").await.expect(200).text(), "by way of TLS");
    assert!(behind.data().join("papers").is_dir(), "it was written elsewhere");
    assert!(server.stop().success());
    let (_, agreed, clear) = remote.seen();
    assert!(agreed > 2 && clear == 0, "{agreed} agreed, {clear} clear");
}
