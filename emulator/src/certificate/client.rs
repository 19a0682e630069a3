//! Client certificates: asked for in every handshake, demanded in none.
//!
//! TLS proves that the client has the key of the certificate that it shows. Whether that is the
//! certificate of a device is for the hub to say, when the client has told which one it is.

use std::sync::Arc;

use iothub_core::auth::x509::CertificateChain;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    ServerConnection, SignatureScheme,
};
use x509_parser::asn1_rs::{Any, FromDer as _, Sequence};
use x509_parser::certificate::X509Certificate;

/// Takes any certificate whose key the client has.
///
/// The key is taken out of the certificate here rather than by rustls's own verifier, which knows
/// no certificates of version 1.
#[derive(Debug)]
pub(super) struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyClient {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { algorithms: ring::default_provider().signature_verification_algorithms })
    }

    /// Those that verify signatures of this scheme.
    fn algorithms_of(
        &self,
        scheme: SignatureScheme,
    ) -> &'static [&'static dyn SignatureVerificationAlgorithm] {
        let known = self.algorithms.mapping.iter().find(|(known, _)| *known == scheme);
        known.map_or(&[], |(_, algorithms)| algorithms)
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients that pick their certificate by this list would show no self-signed one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        for certificate in std::iter::once(end_entity).chain(intermediates) {
            parse(certificate)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // A scheme names no curve in TLS 1.2.
        verify(self.algorithms_of(signed.scheme), message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = match signed.scheme {
            // Not in TLS 1.3.
            SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512 => {
                return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
            }
            scheme => self.algorithms_of(scheme),
        };
        verify(algorithms.get(..1).unwrap_or_default(), message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What the client showed in its handshake; none if it showed nothing.
pub(crate) fn shown(session: &ServerConnection) -> Option<CertificateChain> {
    let (leaf, issuers) = session.peer_certificates()?.split_first()?;
    Some(CertificateChain::new(leaf, issuers.iter().map(|issuer| issuer.to_vec())))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::BadEncoding.into()),
    }
}

fn verify(
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = parse(certificate)?;
    let key = certificate.public_key();
    let kind = key_kind(key.raw).ok_or(CertificateError::BadEncoding)?;
    let verifies = algorithms
        .iter()
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind)
        .any(|algorithm| {
            algorithm
                .verify_signature(&key.subject_public_key.data, message, signed.signature())
                .is_ok()
        });
    if verifies {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// The content of the algorithm identifier of a public key, which tells the curve too.
fn key_kind(key: &[u8]) -> Option<&[u8]> {
    let (_, sequence) = Any::from_der(key).ok()?;
    let (_, algorithm) = Sequence::from_der(sequence.data).ok()?;
    match algorithm.content {
        std::borrow::Cow::Borrowed(content) => Some(content),
        std::borrow::Cow::Owned(_) => None,
    }
}
