"""The generator service: counterfactual images over gRPC, by mechanism rows."""
