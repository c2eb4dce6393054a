"""Mints the tokens of identity_providers.json (its first argument), good ones and wrong ones, and prints them with the
public keys (JSON). The second argument is the shared secret."""

import json
import sys
import time
import warnings

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

# HS512 by a secret that HS256 is content with.
warnings.simplefilter("ignore")


def new_rsa():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def new_p256():
    return ec.generate_private_key(ec.SECP256R1())


own = {"RS256": new_rsa(), "ES256": new_p256()}
strange = {"RS256": new_rsa(), "ES256": new_p256()}
public = {
    "RS256": RSAAlgorithm.to_jwk(own["RS256"].public_key(), as_dict=True),
    "ES256": ECAlgorithm.to_jwk(own["ES256"].public_key(), as_dict=True),
}


def key(algorithm, which, secret):
    if which == "public":
        # Of the whole key, as JSON or PEM, PyJWT makes no secret.
        return public["ES256"]["x"]
    if algorithm.startswith("HS"):
        return secret
    return (strange if which == "strange" else own)[algorithm]


def mint(case, wrong, secret):
    algorithm = wrong.get("algorithm", case["algorithm"])
    issued = int(time.time()) - wrong.get("age", 0)
    claims = {**case["claims"], "iat": issued, "exp": issued + case["lifetime"], **wrong.get("claims", {})}
    claims = {name: claim for name, claim in claims.items() if claim is not None}
    # PyJWT adds a `typ` of its own unless it is told of none.
    header = {"typ": "", **case["header"]}
    return jwt.encode(claims, key(algorithm, wrong.get("key"), secret), algorithm=algorithm, headers=header)


def main(file, secret):
    with open(file, encoding="utf-8") as text:
        cases = json.load(text)
    tokens = [
        {"good": mint(case, {}, secret), "wrong": [mint(case, wrong, secret) for wrong in case["wrong"]]}
        for case in cases
    ]
    return {"keys": public, "tokens": tokens}


print(json.dumps(main(*sys.argv[1:])))
