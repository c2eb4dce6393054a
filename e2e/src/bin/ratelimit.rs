//! A rate limit service for tests: the engine of Limitador, with its counts in memory, behind Envoy's protocol (gRPC, v3).
//! Tells its address in the first line of its output, and each question with its answer in one more.
//!
//! Limitador looks at a count and adds to it in two steps. Here one question is answered after the other, so that its
//! limits hold exactly.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use limitador::RateLimiter;
use limitador::limit::{Context, Limit};
use postern_e2e::rate_limit_server::Asked;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// More counts than any test makes: what Limitador would forget is not counted.
const COUNTS: u64 = 1_000_000;

/// Limitador's limits over Envoy's rate limit service protocol.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen at.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The limits, in a file as Limitador reads it.
    #[arg(long)]
    limits: PathBuf,
}

// One thread, on which no question waits half answered.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ratelimit: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let limits: Vec<Limit> = serde_saphyr::from_str(&std::fs::read_to_string(arguments.limits)?)?;
    let limiter = RateLimiter::new(COUNTS);
    for limit in limits {
        limiter.add_limit(limit);
    }
    let listener = TcpListener::bind(arguments.listen).await?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(end_with_input);
    let service = RateLimitServiceServer::new(Engine { limiter });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(Server::builder().serve_with_incoming(service, incoming).await?)
}

/// Ends this process when whoever started it is gone.
fn end_with_input() {
    // An input that cannot be read has ended too.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

struct Engine {
    limiter: RateLimiter,
}

#[tonic::async_trait]
impl RateLimitService for Engine {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request.into_inner();
        let minute = minute();
        let over_limit = self.is_over_limit(&request, minute)?;
        tell(&request, over_limit, minute)?;
        let code = if over_limit { Code::OverLimit } else { Code::Ok };
        Ok(Response::new(RateLimitResponse { overall_code: code.into(), ..RateLimitResponse::default() }))
    }
}

impl Engine {
    /// Asks Limitador as its own server does, with the minute of the clock besides.
    fn is_over_limit(&self, request: &RateLimitRequest, minute: u64) -> Result<bool, Status> {
        let entries = request.descriptors.iter().map(|descriptor| {
            descriptor.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
        });
        let mut context = Context::from(HashMap::from([("minute".to_owned(), minute.to_string())]));
        context.list_binding("descriptors".to_owned(), entries.collect());
        // The protocol reads none as one.
        let hits = u64::from(request.hits_addend.max(1));
        let domain = request.domain.as_str().into();
        let checked = self.limiter.check_rate_limited_and_update(&domain, &context, hits);
        checked.map(|result| result.limited).map_err(|error| Status::unavailable(error.to_string()))
    }
}

/// Returns the minute of the clock, since the Unix epoch.
fn minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60)
}

fn tell(request: &RateLimitRequest, over_limit: bool, minute: u64) -> Result<(), Status> {
    let descriptors = request.descriptors.iter().map(|descriptor| {
        descriptor.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    });
    let asked = Asked {
        domain: request.domain.clone(),
        descriptors: descriptors.collect(),
        hits_addend: request.hits_addend,
        over_limit,
        minute,
    };
    let line = serde_json::to_string(&asked).map_err(|error| Status::internal(error.to_string()))?;
    let mut output = std::io::stdout().lock();
    let told = writeln!(output, "{line}").and_then(|()| output.flush());
    told.map_err(|error| Status::internal(error.to_string()))
}
