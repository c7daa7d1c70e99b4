//! A remote storage service that lies: its answers have the right form and say what is not so.
//!
//! **Invariant:** a success has the right bytes; what was refused is not there; what was acknowledged is there once the
//! other side tells the truth again.

use super::dice::bytes_of;
use super::proxy::{Fault, Proxy, Rule};
use crate::harness::backends::{self, Backend, fresh_name};
use crate::harness::{Client, Options, Server};

const SMALL: usize = 5_000;
const LARGE: usize = 3_000_000;

struct Bench {
    proxy: Proxy,
    _server: Server,
    client: Client,
    bucket: String,
}

impl Bench {
    async fn on(backend: &Backend) -> Self {
        let proxy = Proxy::before(backend.address);
        let more = format!("read_timeout_seconds = 5\nretries_max = 0\nprefix = \"{}-\"\n", fresh_name("t"));
        let entry = backend.entry_by("far", proxy.address, &more);
        let server = Server::with(Options::default().config(&format!("{entry}[server]\ndefault_provider = \"far\"\n")));
        let (client, bucket) = (server.root(), fresh_name("lies"));
        client.create_bucket(&bucket).await.expect(200);
        Self { proxy, _server: server, client, bucket }
    }

    fn path(&self, key: &str) -> String {
        format!("/{}/{key}", self.bucket)
    }

    /// Status and body of a read, if the answer came whole.
    async fn read(&self, key: &str, range: Option<(usize, usize)>) -> Option<(u16, Vec<u8>)> {
        let mut call = self.client.call("GET", &self.path(key));
        if let Some((first, last)) = range {
            call = call.header("range", &format!("bytes={first}-{last}"));
        }
        let signed = call.signed();
        self.client.attempt(signed).await.map(|answer| (answer.status, answer.body.to_vec()))
    }

    async fn refused_put(&self, key: &str, len: usize) {
        let signed = self.client.call("PUT", &self.path(key)).body(bytes_of(1, len)).signed();
        let answer = self.client.attempt(signed).await.expect("an answer");
        assert!(matches!(answer.status, 500 | 503), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_not_stored_is_no_success() {
    let test = "fault::remote::an_upload_that_was_not_stored_is_no_success";
    let Some(backend) = backends::loopback(test) else { return };
    let bench = Bench::on(backend).await;
    let lies = [
        Fault::Say("{}".to_owned()),
        Fault::Say("[]".to_owned()),
        Fault::Say("no json".to_owned()),
        Fault::Say(r#"{"error":{"statusCode":500,"message":"Internal Server Error"}}"#.to_owned()),
        Fault::Say(r#"{"result":{"files":{},"fields":{}}}"#.to_owned()),
        Fault::Replace(".longshore.o.", ".longshore.O."),
        Fault::Replace("\"size\":5000", "\"size\":4999"),
        Fault::Status { status: 200, retry_after: None },
        Fault::Status { status: 404, retry_after: None },
        Fault::Redirect("/elsewhere".to_owned()),
        Fault::Shorter(1),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        for len in [SMALL, LARGE] {
            if len == LARGE && matches!(lie, Fault::Replace("\"size\":5000", _)) {
                continue;
            }
            let key = format!("k{n}-{len}");
            bench.proxy.arm([Rule { times: 1, ..Rule::always(lie.clone()).method("POST").part("/upload") }]);
            bench.refused_put(&key, len).await;
            assert_eq!(bench.proxy.disarm(), 1, "{lie:?}");
            bench.client.get(&bench.bucket, &key).await.expect(404);
        }
    }
    // What it says of the file afterwards counts as much as what it says of the upload.
    for (n, lie) in [
        Fault::Replace("\"size\":5000", "\"size\":4999"),
        Fault::Replace(".longshore.o.", ".longshore.O."),
        Fault::Say("{}".to_owned()),
        Fault::Say(r#"{"error":{"statusCode":404,"code":"ENOENT","message":"x"}}"#.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        bench.proxy.arm([Rule::always(lie.clone()).method("GET").part("/files/.longshore.o.")]);
        bench.refused_put(&format!("f{n}"), SMALL).await;
        assert!(bench.proxy.disarm() > 0, "{lie:?}");
        bench.client.get(&bench.bucket, &format!("f{n}")).await.expect(404);
    }
    bench.client.put(&bench.bucket, "k", bytes_of(1, SMALL)).await.expect(200);
    assert_eq!(bench.client.keys_of(&bench.bucket, "").await, ["k"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_not_written_are_not_read() {
    let test = "fault::remote::bytes_that_were_not_written_are_not_read";
    let Some(backend) = backends::loopback(test) else { return };
    let bench = Bench::on(backend).await;
    for len in [SMALL, LARGE] {
        let key = format!("k{len}");
        let bytes = bytes_of(len as u64, len);
        bench.client.put(&bench.bucket, &key, bytes.clone()).await.expect(200);
        let error = r#"{"error":{"statusCode":500,"message":"Internal Server Error"}}"#;
        for lie in [
            Fault::Flip(0),
            Fault::Flip(len / 2),
            Fault::Flip(usize::MAX),
            Fault::Shorter(1),
            Fault::Cut(len / 2),
            Fault::Say(error.to_owned()),
            Fault::Status { status: 200, retry_after: None },
            Fault::Status { status: 404, retry_after: None },
            Fault::Redirect("/elsewhere".to_owned()),
        ] {
            bench.proxy.arm([Rule::always(lie.clone()).part("/download/.longshore.o.")]);
            match bench.read(&key, None).await {
                Some((500 | 503, _)) | None => {}
                Some((status, body)) => panic!("{lie:?} gave {status}, {} of {len} bytes", body.len()),
            }
            assert!(bench.proxy.disarm() > 0, "{lie:?}");
            let (status, body) = bench.read(&key, None).await.expect("an answer");
            assert!(status == 200 && body == bytes, "{lie:?} is over");
        }
    }
}

/// An application over a storage that knows no ranges sends the first bytes under the head of a part.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_none_is_not_taken_for_one() {
    let test = "fault::remote::a_part_that_is_none_is_not_taken_for_one";
    let Some(backend) = backends::loopback(test) else { return };
    for fault in [Some(Fault::FirstAsPart), None] {
        let bench = Bench::on(backend).await;
        let bytes = bytes_of(7, LARGE);
        bench.client.put(&bench.bucket, "k", bytes.clone()).await.expect(200);
        bench.client.put(&bench.bucket, "zeros", vec![0; SMALL]).await.expect(200);
        bench.proxy.requests();
        bench.proxy.arm(fault.clone().map(Rule::always));
        for (first, last) in [(1, 1), (1, LARGE - 1), (0, 9), (LARGE / 2, LARGE / 2 + 99), (LARGE - 1, LARGE - 1)] {
            let (status, body) = bench.read("k", Some((first, last))).await.expect("an answer");
            assert!(status == 206 && body == bytes[first..=last], "{first}-{last} with {fault:?}");
        }
        let (_, zeros) = bench.read("zeros", Some((3, 9))).await.expect("an answer");
        assert_eq!(zeros, [0; 7]);
        assert_eq!(bench.proxy.disarm() > 0, fault.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_is_not_followed() {
    let Some(backend) = backends::loopback("fault::remote::a_redirection_is_not_followed") else { return };
    let bench = Bench::on(backend).await;
    bench.client.put(&bench.bucket, "k", bytes_of(1, SMALL)).await.expect(200);
    let elsewhere = Proxy::before(backend.address);
    bench.proxy.arm([Rule::always(Fault::Redirect(format!("http://{}/api/containers", elsewhere.address)))]);
    assert!(matches!(bench.read("k", None).await, Some((500 | 503, _))));
    bench.refused_put("other", SMALL).await;
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_where_that_is_said() {
    let test = "fault::remote::a_private_address_is_refused_where_that_is_said";
    let Some(backend) = backends::loopback(test) else { return };
    let proxy = Proxy::before(backend.address);
    let entry = backend.entry_by("far", proxy.address, "refuse_private = true\n");
    for entry in [entry.clone(), entry.replace("127.0.0.1", "localhost")] {
        let server = Server::with(Options::default().config(&format!("{entry}[server]\ndefault_provider = \"far\"\n")));
        server.root().create_bucket(&fresh_name("private")).await.expect(503);
        assert!(proxy.requests().is_empty());
    }
}
