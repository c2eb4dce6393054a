//! TLS towards the endpoint: whom the audit believes.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::world;

/// Whom the audit believes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'a> {
    /// The authorities of this machine.
    Machine,
    /// The certificates in this file, as PEM.
    File(&'a str),
    /// Anybody.
    Anybody,
}

/// Returns a client that believes so, and speaks HTTP/1.1; an error says what cannot be read.
pub(crate) fn client(trust: Trust<'_>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match trust {
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth(),
        Trust::Machine => builder.with_root_certificates(of_machine()).with_no_client_auth(),
        Trust::File(name) => {
            let text = world::read(name).map_err(|error| format!("{name}: cannot be read: {error}"))?;
            let named = Named::of(&text, provider).map_err(|what| format!("{name}: {what}"))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(named)).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn of_machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A verifier that takes these certificates, and those that they have signed.
#[derive(Debug)]
struct Named {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Named {
    /// Creates one of the certificates in a PEM text; an error says what is wrong with it.
    fn of(text: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| format!("is no certificate in PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("has no certificate in PEM".to_owned());
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let authorities = authorities.map_err(|error| error.to_string())?;
        Ok(Self { certificates, authorities })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict =
            self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // One that `openssl req -x509` makes is an authority too, and those are no certificates of servers. By then its
            // time has been looked at.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// A verifier that takes any certificate, of which it sees to it that its key is there.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A certificate as `openssl req -x509` makes one of chat.example.com, good from 2026 on for a hundred years.
    const SELF_SIGNED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBqjCCAVCgAwIBAgIUA/9dwSJC3B9RbzY1edIPRPSNEkIwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQY2hhdC5leGFtcGxlLmNvbTAgFw0yNjExMjkyMzEzMjZaGA8y
MTI2MTEwNTIzMTMyNlowGzEZMBcGA1UEAwwQY2hhdC5leGFtcGxlLmNvbTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABCFk8+7KrdIPEEOYJn/5J46Da0v8GZYMaoRk
ztbgp/NBvIRu8RiVrZDET8nwBEQWjLxRaX/0bJIACuHQdv/C51ajcDBuMB0GA1Ud
DgQWBBSkoZH05XC9X+uF/CG9BST1sCh+NjAfBgNVHSMEGDAWgBSkoZH05XC9X+uF
/CG9BST1sCh+NjAPBgNVHRMBAf8EBTADAQH/MBsGA1UdEQQUMBKCEGNoYXQuZXhh
bXBsZS5jb20wCgYIKoZIzj0EAwIDSAAwRQIhAJ/TDCyUZAxInckesgORLZr18zeC
ygYfJEZligq02B+ZAiBBNcZFAo7C9bSrmAcRZ61x0S3JYqmGBc+HmDfzsquv+Q==
-----END CERTIFICATE-----
";

    #[test]
    fn a_certificate_that_signs_itself_is_taken_where_it_is_named_for_its_host_and_time_alone() {
        let named = Named::of(SELF_SIGNED.as_bytes(), Arc::new(ring::default_provider())).unwrap();
        let certificate = CertificateDer::from_pem_slice(SELF_SIGNED.as_bytes()).unwrap();
        let judge = |host: &'static str, unix_seconds: u64| {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds));
            let host = ServerName::try_from(host).unwrap();
            named.verify_server_cert(&certificate, &[], &host, &[], now).is_ok()
        };
        assert!(judge("chat.example.com", 1_900_000_000));
        assert!(!judge("other.example.com", 1_900_000_000), "another host");
        assert!(!judge("chat.example.com", 1_700_000_000), "not good yet");
        assert!(!judge("chat.example.com", 9_900_000_000), "good no more");
    }

    #[test]
    fn a_file_without_a_certificate_is_told() {
        for (text, what) in
            [("", "has no certificate"), ("-----BEGIN CERTIFICATE-----\n%\n", "is no certificate")]
        {
            let error = Named::of(text.as_bytes(), Arc::new(ring::default_provider())).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
