//! A scene with Postern and one without: the second lets through what the first refuses. Without the second
//! half a refusal proves little, since Envoy or the test itself might be what stands in the way.

use crate::assert::{Attack, Refusal};
use crate::client::Request;
use crate::http::Response;
use crate::scene::{RunningScene, Scene, Shareable};

/// Two Envoys that differ in nothing but Postern.
#[derive(Debug)]
pub struct ControlPair {
    /// The scene with Postern.
    pub guarded: RunningScene,
    /// The scene without.
    pub bare: RunningScene,
}

impl Shareable for ControlPair {
    async fn start(scene: fn() -> Scene) -> Self {
        Self::start(scene).await
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.guarded, &self.bare]
    }
}

impl ControlPair {
    /// Starts both as `scene` describes them.
    pub async fn start(scene: impl Fn() -> Scene) -> Self {
        let (guarded, bare) = tokio::join!(scene().start(), scene().bare().start());
        Self { guarded, bare }
    }

    /// Asserts that Postern refuses the attack, as client, access log and metrics say, before the upstream
    /// saw anything, or if the reason is the upstream's answer, before the client saw anything of it; and
    /// that without Postern the upstream is asked, and grants it.
    pub async fn assert_refused(&self, attack: &Attack<'_>) -> Response {
        self.assert_refused_by(&attack.refusal(), async |scene| attack.ask(scene).await).await
    }

    /// Asserts a refusal as [`ControlPair::assert_refused`] does, for a client that has its own way to `ask`
    /// a scene.
    pub async fn assert_refused_by(
        &self,
        refusal: &Refusal<'_>,
        ask: impl AsyncFn(&RunningScene) -> Response,
    ) -> Response {
        let response = refusal.assert_of(&self.guarded, &ask).await;
        let Refusal { name, case, without, .. } = refusal;
        let granted = ask(&self.bare).await;
        assert_eq!(granted.status, *without, "{name}: without Postern");
        assert!(self.bare.upstream().has_seen(case), "{name}: not at the upstream");
        response
    }

    /// Asserts that Envoy refuses the request with `status`, with and without Postern, so that there is
    /// nothing for Postern to judge.
    pub async fn assert_envoy_refuses(&self, name: &str, request: &Request, status: u16) {
        for scene in [&self.guarded, &self.bare] {
            let response = scene.ask(request).await;
            assert_eq!((response.status, response.reason()), (status, None), "{name}");
            assert!(!scene.upstream().has_seen(request.case()), "{name} reached the upstream");
        }
    }

    /// Asserts that what the upstream receives of `request`, and the client of the answer, is the same with
    /// and without Postern.
    pub async fn assert_untouched(&self, name: &str, request: &Request) {
        let [with, without] = [&self.guarded, &self.bare].map(async |scene| {
            let response = scene.ask(request).await;
            let record = scene.upstream().record(request.case()).await;
            let head = (record.head.method.clone(), record.head.target.clone());
            let sent = (head, constant(&record.head.headers.0), record.bytes());
            (sent, response.status, constant(&response.headers.0), response.text())
        });
        assert_eq!(with.await, without.await, "{name}");
    }
}

/// Returns the headers that do not differ from one request to the next.
fn constant(headers: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let changing = ["x-request-id", "date", "x-envoy-upstream-service-time"];
    headers.iter().filter(|(name, _)| !changing.contains(&name.as_str())).cloned().collect()
}
