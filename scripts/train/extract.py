"""The initial state: the extractor of the public ImageNet classifier, dequantised, with batch norm restored; the head is new.

extract.py MOBILENET.tflite PREPARED START.pt [--spec SPEC.json]
"""

import argparse
import os

import numpy as np
import torch

import data
import tflite
from network import Network, cells, load_spec


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("classifier")
    p.add_argument("prepared", help="a folder written by prepare.py: the statistics come from some of its images")
    p.add_argument("out")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "voc21.json"))
    p.add_argument("--pictures", type=int, default=96)
    a = p.parse_args(argv)
    spec = load_spec(a.spec)
    size = spec["input"]["size"]
    torch.manual_seed(0)
    net, pool = Network(spec), data.Pool([a.prepared])
    layers, _ = tflite.extractor(net, a.classifier)
    g = torch.Generator().manual_seed(0)
    ids = np.random.default_rng(0).choice(len(pool), min(len(pool), a.pictures), replace=False)
    parts = np.array_split(ids, -(-len(ids) // 16))
    tflite.restore_batch_norm(net, layers, (data.batch(pool, i, size, cells(spec, size), (0.7, 1.2), g)[0] for i in parts))
    torch.save(net.state_dict(), a.out)


if __name__ == "__main__":
    main()
