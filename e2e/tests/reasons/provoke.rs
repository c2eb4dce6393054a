//! The doing of what a row says, up to the answer or the Close that ends it.

use std::time::Duration;

use postern_e2e::client::http2;
use postern_e2e::client::token::tampered;
use postern_e2e::{Frame, RawClient, Request, Served, json};

use crate::row::{Act, Ending, Row};
use crate::stage::{REVOKED, Stage};
use crate::tokens::bearing;

/// The address of a client whose guesses are to be nobody else's.
const STRANGER: [u8; 4] = [127, 0, 0, 2];

/// The most forged tokens of one address that are judged, with those that come back meanwhile.
const MOST_GUESSES: usize = 300;

/// The pause of a client that says something again and again.
const NOW_AND_THEN: Duration = Duration::from_millis(200);

impl Row {
    /// Provokes it and asserts what is told of it.
    pub(crate) async fn assert(&self, stage: &Stage) {
        let mut before = stage.scene.connect().await;
        if let Some((request, status)) = &self.before {
            assert_eq!(before.ask(request).await.status, *status, "{}", self.name);
        }
        match &self.act {
            Act::Asks | Act::SendsEarly(_) => {
                let (_client, ending) = self.ask(stage).await;
                self.assert_told(stage, self.request.case(), &ending).await;
            }
            Act::Guesses(token) => {
                let (request, ending) = self.guess(stage, token).await;
                self.assert_told(stage, request.case(), &ending).await;
            }
            Act::SendsTrailers => self.assert_trailers(stage).await,
            _ => {
                let client = stage.scene.open_with(&self.request).await;
                self.assert_closed(stage, client).await;
            }
        }
    }

    async fn ask(&self, stage: &Stage) -> (RawClient, Ending) {
        let mut client = stage.scene.connect().await;
        let early = if let Act::SendsEarly(early) = &self.act { &early[..] } else { &[] };
        client.send([&self.request.bytes(), early].concat()).await;
        let response = client.response().await;
        (client, Ending::Refused(response))
    }

    async fn guess(&self, stage: &Stage, token: &str) -> (Request, Ending) {
        let forged = tampered::signature(token);
        for _ in 0..MOST_GUESSES {
            let request = bearing(&format!("/ws/{}", self.policy), &forged);
            let response = stage.scene.connect_from(STRANGER).await.ask(&request).await;
            if response.reason().as_deref() == Some(self.reason) {
                return (request, Ending::Refused(response));
            }
        }
        panic!("{}: {MOST_GUESSES} forged tokens were all judged", self.name);
    }

    /// Asserts that trailers close the connection to the client. Its service may be cut: Envoy has no callback in which a
    /// Close could go up where the stream was not paused before.
    async fn assert_trailers(&self, stage: &Stage) {
        let case = "reasons-trailers";
        let mut connection = stage.scene.connect_http2().await;
        let request = http2::handshake(&format!("/ws/{}", self.policy), case);
        let (response, mut stream) = http2::open(&mut connection, request).await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-trailer", "1".parse().expect("a value"));
        stream.send_trailers(trailers).expect("an open stream");
        let expected = Frame::closing(1002, self.reason).bytes();
        let close = http2::read(&mut response.into_body(), expected.len()).await;
        let (close, _) = Frame::parse(&close).expect("a frame");
        self.assert_told(stage, case, &Ending::Closed(close)).await;
    }

    /// Asserts that an open connection is closed, to client and service alike.
    pub(crate) async fn assert_closed(&self, stage: &Stage, mut client: RawClient) {
        let record = stage.scene.record(&client).await;
        let case = client.case().to_owned();
        let close = match &self.act {
            Act::Sends(bytes) => {
                client.send(bytes).await;
                client.close().await
            }
            Act::Hears(bytes) => {
                record.send(bytes);
                client.close().await
            }
            Act::HearsUnfinished(bytes) => {
                record.send(bytes);
                close_of_talking(&mut client).await
            }
            Act::IsRevoked(id) => {
                stage.documents.serve(REVOKED, Served::Document(json!({"jti": ["gone", id]})));
                client.close().await
            }
            Act::MakesWay(request) => {
                let _newer = stage.scene.open_with(request).await;
                client.close().await
            }
            _ => client.close().await,
        };
        // A Close that could not go up at once takes the place of what the client sends next: its answer (RFC 6455 §5.5.1).
        // A client that has been told may find nobody to answer any more.
        let _ = client.try_send(Frame::closing(1000, "").masked().bytes()).await;
        let up = record.close().await;
        assert_eq!((up.code(), up.reason().as_str()), (close.code(), self.reason), "{}", self.name);
        // The access log has its line once the client is gone.
        drop(client);
        self.assert_told(stage, &case, &Ending::Closed(close)).await;
    }
}

/// The Close that ends a client who says something now and then.
async fn close_of_talking(client: &mut RawClient) -> Frame {
    loop {
        client.send(Frame::pong("").masked().bytes()).await;
        if let Ok(frame) = tokio::time::timeout(NOW_AND_THEN, client.frame()).await {
            return frame.expect("a Close");
        }
    }
}
