//! A service of `ext_proc`, in this process: it lets everything go on as it came, in whatever mode Envoy asks, but for
//! requests on a path that ends in [`REFUSED`]. It keeps what it was sent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::BodySendMode;
use envoy_types::pb::envoy::service::ext_proc::v3::body_mutation::Mutation;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Part;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answer;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyMutation, BodyResponse, CommonResponse, HeadersResponse, HttpBody, HttpHeaders, ImmediateResponse,
    ProcessingRequest, ProcessingResponse, ProtocolConfiguration, StreamedBodyResponse, TrailersResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use futures_util::{Stream, StreamExt};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::client::request::CASE;
use crate::environment;

/// The end of the paths that the service refuses, with 403.
pub const REFUSED: &str = "/bad";

/// All that the service was sent of one request and its response; of the request it was sent the headers at least.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The bytes of the request behind its headers.
    pub request_body: Vec<u8>,
    /// Says whether the headers of the response were among it.
    pub has_response_headers: bool,
}

/// The exchanges by the case ids of their requests.
type Exchanges = Arc<Mutex<HashMap<String, Exchange>>>;

/// A running service; it ends when it is dropped.
#[derive(Debug)]
pub struct Processor {
    address: SocketAddr,
    exchanges: Exchanges,
    serving: JoinHandle<()>,
}

impl Processor {
    /// Starts a service on a free port.
    pub async fn start() -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let exchanges = Exchanges::default();
        let service = ExternalProcessorServer::new(Service { exchanges: Arc::clone(&exchanges) });
        let serving = tokio::spawn(async move {
            let server = Server::builder().serve_with_incoming(service, incoming);
            server.await.expect("a service that listens");
        });
        Self { address, exchanges, serving }
    }

    /// Returns what the service was sent so far of the request with this case id, if anything.
    pub fn exchange(&self, case: &str) -> Option<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).get(case).cloned()
    }

    /// Returns the address at which the service listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Service {
    exchanges: Exchanges,
}

#[tonic::async_trait]
impl ExternalProcessor for Service {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        // Envoy says with the first part in which modes it sends the bodies.
        let mut modes = ProtocolConfiguration::default();
        let (mut case, exchanges) = (String::new(), Arc::clone(&self.exchanges));
        let answers = request.into_inner().map(move |request| {
            let request = request?;
            modes = request.protocol_config.unwrap_or(modes);
            let part = request.request.ok_or_else(|| Status::invalid_argument("no part"))?;
            keep(&part, &mut case, &exchanges);
            Ok(ProcessingResponse { response: Some(answer(part, &modes)), ..ProcessingResponse::default() })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn answer(part: Part, modes: &ProtocolConfiguration) -> Answer {
    match part {
        Part::RequestHeaders(headers) if is_refused(&headers) => {
            Answer::ImmediateResponse(ImmediateResponse {
                status: Some(HttpStatus { code: 403 }),
                details: "processor".to_owned(),
                ..ImmediateResponse::default()
            })
        }
        Part::RequestHeaders(_) => Answer::RequestHeaders(HeadersResponse::default()),
        Part::ResponseHeaders(_) => Answer::ResponseHeaders(HeadersResponse::default()),
        Part::RequestBody(body) => Answer::RequestBody(as_it_came(body, modes.request_body_mode)),
        Part::ResponseBody(body) => Answer::ResponseBody(as_it_came(body, modes.response_body_mode)),
        Part::RequestTrailers(_) => Answer::RequestTrailers(TrailersResponse::default()),
        Part::ResponseTrailers(_) => Answer::ResponseTrailers(TrailersResponse::default()),
    }
}

/// Keeps a part under the case id that the headers of its request have.
fn keep(part: &Part, case: &mut String, exchanges: &Exchanges) {
    if let Part::RequestHeaders(headers) = part {
        *case = String::from_utf8_lossy(value(headers, CASE).unwrap_or_default()).into_owned();
    }
    let mut exchanges = exchanges.lock().unwrap_or_else(PoisonError::into_inner);
    let exchange = exchanges.entry(case.clone()).or_default();
    match part {
        Part::ResponseHeaders(_) => exchange.has_response_headers = true,
        Part::RequestBody(body) => exchange.request_body.extend_from_slice(&body.body),
        _ => {}
    }
}

fn is_refused(headers: &HttpHeaders) -> bool {
    value(headers, ":path").is_some_and(|path| path.ends_with(REFUSED.as_bytes()))
}

fn value<'a>(headers: &'a HttpHeaders, name: &str) -> Option<&'a [u8]> {
    let mut headers = headers.headers.iter().flat_map(|headers| &headers.headers);
    headers.find(|header| header.key == name).map(|header| header.raw_value.as_slice())
}

/// Lets a piece of a body go on; in full duplex Envoy has kept none of it, and wants it back.
fn as_it_came(body: HttpBody, mode: i32) -> BodyResponse {
    if mode != i32::from(BodySendMode::FullDuplexStreamed) {
        return BodyResponse::default();
    }
    let streamed =
        StreamedBodyResponse { body: body.body, end_of_stream: body.end_of_stream, ..Default::default() };
    let body_mutation = Some(BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) });
    BodyResponse { response: Some(CommonResponse { body_mutation, ..CommonResponse::default() }) }
}
