"""A thin typed client of the CGN services. Needs numpy and grpcio, no torch."""

from cgn_client.client import Client
from cgn_client.composites import Factor, composite
from cgn_client.errors import CgnError, Violation
from cgn_client.results import ResolvedFactor, Result

__all__ = ["CgnError", "Client", "Factor", "ResolvedFactor", "Result", "Violation", "composite"]
