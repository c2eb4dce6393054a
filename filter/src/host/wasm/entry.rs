//! The entry points of proxy-wasm, as the SDK wants them: callbacks, handed on.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType};

use super::capabilities;
use crate::host::Flow;
use crate::rate_limit;
use crate::root::Root;
use crate::stream::Stream;

#[allow(missing_docs, reason = "the SDK's macro writes the entry point")]
mod start {
    use proxy_wasm::types::LogLevel;

    use super::RootOfVm;
    use crate::host::wasm::verification;
    use crate::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Debug);
        verification::install();
        proxy_wasm::set_root_context(|context_id| Box::new(RootOfVm(Root::new(context_id))));
    }}
}

/// The root context.
struct RootOfVm(Root);

/// The context of a stream.
struct StreamOfVm(Stream);

impl Context for RootOfVm {
    fn on_http_call_response(&mut self, call: u32, fields: usize, body_len: usize, _trailers: usize) {
        self.0.on_fetched(call, fields, body_len);
    }

    fn on_grpc_call_response(&mut self, call: u32, status: u32, len: usize) {
        self.0.on_rate_limit_answered(call, status, len);
    }

    fn on_done(&mut self) -> bool {
        self.0.on_done();
        true
    }
}

impl RootContext for RootOfVm {
    fn on_configure(&mut self, _size: usize) -> bool {
        capabilities::are_there() && self.0.on_configure(&configuration())
    }

    fn on_tick(&mut self) {
        self.0.on_tick();
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(StreamOfVm(self.0.open(context_id))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for StreamOfVm {
    fn on_grpc_call_response(&mut self, call: u32, status: u32, len: usize) {
        rate_limit::on_answer(call, status, len);
    }

    fn on_done(&mut self) -> bool {
        self.0.on_done();
        true
    }
}

impl HttpContext for StreamOfVm {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.0.on_request_headers().into()
    }

    fn on_http_request_body(&mut self, len: usize, _end_of_stream: bool) -> Action {
        self.0.on_request_body(len).into()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.0.on_request_trailers().into()
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.0.on_response_headers().into()
    }

    fn on_http_response_body(&mut self, len: usize, _end_of_stream: bool) -> Action {
        self.0.on_response_body(len).into()
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.0.on_response_trailers().into()
    }

    fn on_log(&mut self) {
        self.0.on_log();
    }
}

impl From<Flow> for Action {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Continue => Self::Continue,
            Flow::Pause => Self::Pause,
        }
    }
}

/// Returns the plugin's configuration; for `on_configure`.
fn configuration() -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX).ok().flatten().unwrap_or_default()
}
