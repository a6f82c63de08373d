// Load on a generator with k6, which discovers the API by reflection:
//
//   k6 run -e ADDRESS=127.0.0.1:50051 -e MODEL=wildlife_mnist -e RATE=20 -e SECONDS=30 deploy/k6_load.js
//
// RATE: requests per second, sent at that rate even if responses are late. IMAGES: images per request.
// TOKEN and TLS=1: for a server that requires them. The run fails if a request fails.
import { check } from "k6";
import { randomBytes } from "k6/crypto";
import grpc from "k6/net/grpc";

const rate = Number(__ENV.RATE || 20);
const images = Number(__ENV.IMAGES || 16);
const classes = 10;

export const options = {
  scenarios: {
    generate: {
      executor: "constant-arrival-rate",
      rate,
      duration: `${__ENV.SECONDS || 30}s`,
      preAllocatedVUs: 4,
      maxVUs: 64,
    },
  },
  thresholds: { checks: ["rate==1"] },
};

const client = new grpc.Client();
let connected = false;

export default function () {
  const metadata = __ENV.TOKEN ? { authorization: `Bearer ${__ENV.TOKEN}` } : {};
  if (!connected) {
    client.connect(__ENV.ADDRESS || "127.0.0.1:50051", {
      plaintext: __ENV.TLS !== "1",
      reflect: true,
      reflectMetadata: metadata,
    });
    connected = true;
  }
  // New seeds, so that no cache has the rows.
  const seeds = new Uint32Array(randomBytes(12 * images));
  const factor = (i) => ({ label_index: seeds[i] % classes, seed: String(seeds[i]) });
  const composites = Array.from({ length: images }, (_, i) => ({
    shape: factor(3 * i),
    texture: factor(3 * i + 1),
    background: factor(3 * i + 2),
  }));
  const request = {
    model: __ENV.MODEL || "wildlife_mnist",
    composites,
    outputs: ["OUTPUT_COMPOSITE"],
    encoding: "ENCODING_RAW_UINT8",
  };
  const response = client.invoke("cgn_api.v1.GeneratorService/Generate", request, { metadata });
  check(response, {
    "answered with every image": (r) => r.status === grpc.StatusOK && r.message.results.length === images,
  });
}
