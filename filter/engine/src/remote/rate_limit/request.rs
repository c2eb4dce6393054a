//! The bytes of questions to the rate limit service, and of the name by which Envoy finds it.

use prost::Message;

/// `envoy.service.ratelimit.v3.RateLimitRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RateLimitRequest {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) descriptors: Vec<RateLimitDescriptor>,
    #[prost(uint32, tag = "3")]
    pub(super) hits_addend: u32,
}

/// `envoy.extensions.common.ratelimit.v3.RateLimitDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RateLimitDescriptor {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
}

/// One entry of a descriptor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

impl Entry {
    pub(super) fn new(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned() }
    }
}

/// The part of `envoy.config.core.v3.GrpcService` that names a cluster.
#[derive(Clone, PartialEq, Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

#[derive(Clone, PartialEq, Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
    #[prost(message, optional, tag = "4")]
    max_receive_message_length: Option<u32>,
}

/// The most bytes that Envoy takes of an answer. Its varint is UTF-8, as the SDK demands of the whole message.
const MAX_ANSWER: u32 = 16_450;

/// Returns the text by which Envoy finds the cluster of this name for a gRPC call: a `GrpcService`, or the bare
/// name where the message is no UTF-8, as with very long names. A bare name must not happen to be a message:
/// then there is none.
pub(super) fn target(cluster: &str) -> Option<String> {
    let envoy_grpc =
        EnvoyGrpc { cluster_name: cluster.to_owned(), max_receive_message_length: Some(MAX_ANSWER) };
    let message = GrpcService { envoy_grpc: Some(envoy_grpc) }.encode_to_vec();
    let bare = || GrpcService::decode(cluster.as_bytes()).is_err().then(|| cluster.to_owned());
    String::from_utf8(message).ok().or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(target: &str) -> Option<EnvoyGrpc> {
        GrpcService::decode(target.as_bytes()).ok().and_then(|service| service.envoy_grpc)
    }

    #[test]
    fn a_cluster_of_any_ordinary_name_is_named_by_a_message() {
        for name in
            ["ratelimit", "a", "auth12345", "outbound|8081||ratelimit.infra.svc.cluster.local", "räte"]
        {
            let service = named(&target(name).unwrap()).unwrap();
            assert_eq!(
                (service.cluster_name.as_str(), service.max_receive_message_length),
                (name, Some(16_450))
            );
        }
    }

    #[test]
    fn a_very_long_name_stands_bare_unless_it_would_be_taken_for_a_message() {
        let name = "outbound.".repeat(30);
        assert_eq!(target(&name), Some(name));
        // Each nine bytes are a field of eight, which Envoy would skip, and then know no cluster.
        let name = "auth12345".repeat(30);
        assert_eq!(target(&name), None);
    }

    #[test]
    fn a_request_has_the_bytes_of_the_protocol() {
        let entries = vec![Entry::new("count", "handshakes"), Entry::new("ip", "::")];
        let request = RateLimitRequest {
            domain: "d".to_owned(),
            descriptors: vec![RateLimitDescriptor { entries }],
            hits_addend: 300,
        };
        let bytes = b"\x0a\x01d\x12\x1f\x0a\x13\x0a\x05count\x12\x0ahandshakes\x0a\x08\x0a\x02ip\x12\x02::\x18\xac\x02";
        assert_eq!(request.encode_to_vec(), bytes);
    }
}
