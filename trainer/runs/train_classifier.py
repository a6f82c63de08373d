import sys

from trainer.runs import run_old_path

sys.exit(run_old_path("train_classifier"))
