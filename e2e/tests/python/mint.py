"""Mints one token of its argument's claims (JSON) in every algorithm, and prints them with the keys (JSON)."""

import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret of an issuer in Python, 64 bytes or more as HS512 asks for"

rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ed25519_key = ed25519.Ed25519PrivateKey.generate()

keys = {name: (rsa_key, "rsa") for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")}
keys |= {"ES256": (p256, "p256"), "ES384": (p384, "p384"), "EdDSA": (ed25519_key, "ed")}
keys |= {name: (SECRET, None) for name in ("HS256", "HS384", "HS512")}


def public(algorithm, key, kid):
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}


def mint(claims, issuer, name):
    key, kid = keys[name]
    return jwt.encode({**claims, "iss": issuer}, key, algorithm=name, headers={"kid": kid} if kid else None)


def main(claims):
    jwks = [
        public(RSAAlgorithm, rsa_key, "rsa"),
        public(ECAlgorithm, p256, "p256"),
        public(ECAlgorithm, p384, "p384"),
        public(OKPAlgorithm, ed25519_key, "ed"),
    ]
    tokens = {name: mint(claims, "secret" if name.startswith("HS") else "public", name) for name in keys}
    return {"jwks": {"keys": jwks}, "secret": SECRET, "tokens": tokens}


print(json.dumps(main(json.loads(sys.argv[1]))))
