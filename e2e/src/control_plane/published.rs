//! The resources that are published, and the gRPC stream on which Envoy asks for them, is sent them and tells its verdict.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;
use futures_util::Stream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tonic::{Request, Response, Status, Streaming};

use crate::control_plane::Verdict;

/// Resources by their type, and the stream to Envoy.
#[derive(Debug, Default)]
pub(super) struct Published {
    types: Mutex<HashMap<String, Resources>>,
    stream: Mutex<Option<UnboundedSender<Result<DiscoveryResponse, Status>>>>,
}

/// The resources of one type.
#[derive(Debug, Default)]
struct Resources {
    version: u64,
    resources: Vec<Any>,
    /// The names that Envoy has asked for; `None` until it asks.
    asked: Option<Vec<String>>,
    verdict: Option<Verdict>,
}

impl Resources {
    fn response(&self, type_url: &str) -> DiscoveryResponse {
        DiscoveryResponse {
            version_info: self.version.to_string(),
            resources: self.resources.clone(),
            type_url: type_url.to_owned(),
            nonce: self.version.to_string(),
            ..DiscoveryResponse::default()
        }
    }
}

impl Published {
    /// Publishes resources in the place of all of their type, and returns their version.
    pub(super) fn publish(&self, type_url: &str, resources: Vec<Any>) -> u64 {
        let mut types = self.types.lock().expect("a lock that no panic has poisoned");
        let of_type = types.entry(type_url.to_owned()).or_default();
        of_type.version += 1;
        of_type.resources = resources;
        of_type.verdict = None;
        if of_type.asked.is_some() {
            self.send(of_type.response(type_url));
        }
        of_type.version
    }

    /// Returns the verdict on this version, if Envoy has told one.
    pub(super) fn verdict(&self, type_url: &str, version: u64) -> Option<Verdict> {
        let types = self.types.lock().expect("a lock that no panic has poisoned");
        types.get(type_url).filter(|of_type| of_type.version == version)?.verdict.clone()
    }

    /// Takes a request: the verdict on the newest version, and a subscription where it is new or another.
    fn take(&self, request: DiscoveryRequest) {
        let mut types = self.types.lock().expect("a lock that no panic has poisoned");
        let of_type = types.entry(request.type_url.clone()).or_default();
        if request.response_nonce == of_type.version.to_string() {
            let verdict =
                request.error_detail.map_or(Verdict::Taken, |error| Verdict::Refused(error.message));
            of_type.verdict.get_or_insert(verdict);
        }
        if of_type.asked.as_ref() != Some(&request.resource_names) {
            of_type.asked = Some(request.resource_names);
            if of_type.version > 0 {
                self.send(of_type.response(&request.type_url));
            }
        }
    }

    /// Sends a response to Envoy, if it has called already.
    fn send(&self, response: DiscoveryResponse) {
        let stream = self.stream.lock().expect("a lock that no panic has poisoned");
        if let Some(stream) = stream.as_ref() {
            // An Envoy that is gone is missed by whoever waits for its verdict.
            let _ = stream.send(Ok(response));
        }
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
type DeltaResponses = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

/// The published resources as a gRPC service.
pub(super) struct Service(pub(super) Arc<Published>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses;
    type DeltaAggregatedResourcesStream = DeltaResponses;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let (stream, mut responses) = mpsc::unbounded_channel();
        *self.0.stream.lock().expect("a lock that no panic has poisoned") = Some(stream);
        let (published, mut requests) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                published.take(request);
            }
        });
        Ok(Response::new(Box::pin(futures_util::stream::poll_fn(move |context| {
            responses.poll_recv(context)
        }))))
    }

    async fn delta_aggregated_resources(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<DeltaResponses>, Status> {
        Err(Status::unimplemented("state of the world only"))
    }
}
