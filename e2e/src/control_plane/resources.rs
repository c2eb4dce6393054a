//! Resources of Envoy's, made of what its bootstrap says of them in JSON. Of routes and clusters only what the tests push is
//! known; anything else of them is a mistake of the test, and told.

use std::collections::HashMap;
use std::net::SocketAddr;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier as LocalSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AsyncDataSource, DataSource, Metadata, SocketAddress, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::dynamic_modules::v3::DynamicModuleConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilterPerRoute;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{
    Any, Duration, ListValue, Struct, UInt64Value, Value as ProtobufValue,
};
use envoy_types::util::pack_any;
use prost::Message;
use serde_json::{Map, Value};

use crate::scene::module;

/// The type of what [`filter`] makes.
pub(super) const FILTERS: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
/// The type of what [`routes`] makes.
pub(super) const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// The type of what [`clusters`] makes.
pub(super) const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// The time that Envoy takes at most to connect to a host.
const CONNECT_TIMEOUT: Duration = Duration { seconds: 2, nanos: 0 };

/// Any extension's configuration as JSON, which Envoy reads in the place of the extension's own message.
#[derive(Clone, PartialEq, Message)]
struct TypedStruct {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Struct>,
}

/// Returns an HTTP filter as an ECDS resource.
pub(super) fn filter(filter: &Value) -> Any {
    let mut filter = filter.clone();
    module::exchange(&mut filter);
    let mut config = object(&filter["typed_config"]).clone();
    let type_url = text(&config.remove("@type").expect("a type"));
    let typed = TypedStruct { type_url, value: Some(structure(&config)) };
    pack_any(TypedExtensionConfig {
        name: text(&filter["name"]),
        typed_config: Some(Any {
            type_url: "type.googleapis.com/xds.type.v3.TypedStruct".to_owned(),
            value: typed.encode_to_vec(),
        }),
    })
}

/// Returns a route configuration, for a filter that has its module from `module`.
pub(super) fn routes(routes: &Value, module: &Value) -> Any {
    known(routes, &["name", "virtual_hosts"]);
    pack_any(RouteConfiguration {
        name: text(&routes["name"]),
        virtual_hosts: list(&routes["virtual_hosts"]).iter().map(|host| virtual_host(host, module)).collect(),
        ..RouteConfiguration::default()
    })
}

fn virtual_host(host: &Value, module: &Value) -> VirtualHost {
    known(host, &["name", "domains", "request_body_buffer_limit", "routes"]);
    let limit = host["request_body_buffer_limit"].as_u64();
    VirtualHost {
        name: text(&host["name"]),
        domains: list(&host["domains"]).iter().map(text).collect(),
        request_body_buffer_limit: limit.map(|value| UInt64Value { value }),
        routes: list(&host["routes"]).iter().map(|one| route(one, module)).collect(),
        ..VirtualHost::default()
    }
}

fn route(route: &Value, local: &Value) -> Route {
    known(route, &["name", "match", "route", "metadata"]);
    known(&route["match"], &["prefix"]);
    known(&route["route"], &["cluster", "timeout", "idle_timeout"]);
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(text(&route["route"]["cluster"]))),
        timeout: duration(&route["route"]["timeout"]),
        idle_timeout: duration(&route["route"]["idle_timeout"]),
        ..RouteAction::default()
    };
    let said = route.pointer("/metadata/filter_metadata");
    let configures = module::is_native() && module::configures_routes();
    Route {
        name: route["name"].as_str().unwrap_or_default().to_owned(),
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix(text(&route["match"]["prefix"]))),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(action)),
        metadata: said.filter(|_| !configures).map(metadata),
        typed_per_filter_config: said
            .filter(|_| configures)
            .map(|said| per_route(said, local))
            .unwrap_or_default(),
        ..Route::default()
    }
}

/// Returns configurations for the filters that metadata name, which say the same.
fn per_route(of_filters: &Value, local: &Value) -> HashMap<String, Any> {
    let configuration = |(name, said): (&String, &Value)| {
        let filter = module::per_route_of(local, said);
        let library = &filter["dynamic_module_config"];
        let file = library.pointer("/module/local/filename").and_then(Value::as_str);
        let source = |path: &str| AsyncDataSource {
            specifier: Some(Specifier::Local(DataSource {
                specifier: Some(LocalSpecifier::Filename(path.to_owned())),
                ..DataSource::default()
            })),
        };
        let message = DynamicModuleFilterPerRoute {
            dynamic_module_config: Some(DynamicModuleConfig {
                name: library["name"].as_str().unwrap_or_default().to_owned(),
                module: file.map(source),
                do_not_close: true,
                ..DynamicModuleConfig::default()
            }),
            filter_name: text(&filter["per_route_config_name"]),
            filter_config: Some(Any {
                type_url: "type.googleapis.com/google.protobuf.Struct".to_owned(),
                value: structure(object(said)).encode_to_vec(),
            }),
            ..DynamicModuleFilterPerRoute::default()
        };
        (name.clone(), Any { type_url: text(&filter["@type"]), value: message.encode_to_vec() })
    };
    object(of_filters).iter().map(configuration).collect()
}

/// Returns metadata of a form that the module under test reads.
fn metadata(of_filters: &Value) -> Metadata {
    let plain = object(of_filters).iter().map(|(key, value)| (key.clone(), structure(object(value))));
    if !module::is_native() {
        return Metadata { filter_metadata: plain.collect(), ..Metadata::default() };
    }
    let typed = plain.map(|(key, value)| {
        let type_url = "type.googleapis.com/google.protobuf.Struct".to_owned();
        (key, Any { type_url, value: value.encode_to_vec() })
    });
    Metadata { typed_filter_metadata: typed.collect(), ..Metadata::default() }
}

/// Returns clusters of one host each.
pub(super) fn clusters(clusters: &[(String, SocketAddr)]) -> Vec<Any> {
    clusters.iter().map(|(name, address)| pack_any(cluster(name, *address))).collect()
}

fn cluster(name: &str, address: SocketAddr) -> Cluster {
    let socket = SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(address.port().into())),
        ..SocketAddress::default()
    };
    let address = Address { address: Some(AddressKind::SocketAddress(socket)) };
    let endpoint = Endpoint { address: Some(address), ..Endpoint::default() };
    let host =
        LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() };
    let hosts = LocalityLbEndpoints { lb_endpoints: vec![host], ..LocalityLbEndpoints::default() };
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        connect_timeout: Some(CONNECT_TIMEOUT),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: vec![hosts],
            ..ClusterLoadAssignment::default()
        }),
        ..Cluster::default()
    }
}

fn structure(members: &Map<String, Value>) -> Struct {
    Struct { fields: members.iter().map(|(key, member)| (key.clone(), value(member))).collect() }
}

fn value(json: &Value) -> ProtobufValue {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a number")),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Value::Object(members) => Kind::StructValue(structure(members)),
    };
    ProtobufValue { kind: Some(kind) }
}

/// Returns a time that is written as whole seconds.
fn duration(json: &Value) -> Option<Duration> {
    let written = json.as_str()?;
    let seconds = written.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
    Some(Duration {
        seconds: seconds.unwrap_or_else(|| panic!("{written} is no time of whole seconds")),
        nanos: 0,
    })
}

fn known(json: &Value, keys: &[&str]) {
    for key in object(json).keys() {
        assert!(keys.contains(&key.as_str()), "the control plane of the tests knows no `{key}` here: {json}");
    }
}

fn object(json: &Value) -> &Map<String, Value> {
    json.as_object().unwrap_or_else(|| panic!("{json} is no object"))
}

fn list(json: &Value) -> &[Value] {
    json.as_array().unwrap_or_else(|| panic!("{json} is no list"))
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text")).to_owned()
}
