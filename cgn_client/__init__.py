"""A thin, typed client of the CGN services. It needs numpy and grpcio, not torch."""

from cgn_client.channels import Tls
from cgn_client.client import Client
from cgn_client.composites import Factor, Way, composite
from cgn_client.errors import CgnError, Violation
from cgn_client.jobs import describe, state_of
from cgn_client.results import ResolvedFactor, Result
from cgn_client.streams import Chunk, Policy, Samples

__all__ = [
    "CgnError",
    "Chunk",
    "Client",
    "Factor",
    "Policy",
    "ResolvedFactor",
    "Result",
    "Samples",
    "Tls",
    "Violation",
    "Way",
    "composite",
    "describe",
    "state_of",
]
