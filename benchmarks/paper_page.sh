#!/bin/sh
# All tables and figures of tutorials/site/paper.rst, from nothing; goes on where it was interrupted.
# From the root of a checkout: sh benchmarks/paper_page.sh. Half an hour of a GPU, days of one core.
set -e

# without sums: the paper's methods on a GPU, what is beyond the paper on a CPU
python benchmarks/paper.py --train-only --trial --config gpu --minutes 2.3 \
    --methods mmnet mmnet-diagonal mmnet-dilated unrolling 4dvarnet metacurvature modgrad cnn lstm
python benchmarks/paper.py --train-only --trial --minutes 20 --methods mmnet-start
python benchmarks/paper.py --train-only --trial --minutes 25 --methods mmnet-anchored mmnet+ \
    --pretraining 0.85
python benchmarks/paper.py --test-only --n-samples 256 --n-others 64
python benchmarks/paper_curves.py
python benchmarks/paper_claims.py --claims bounds --n-samples 64
python benchmarks/paper_claims.py --claims slopes --n-samples 64 \
    --methods mmnet mmnet-diagonal mmnet-anchored mmnet-dilated mmnet-start
python benchmarks/paper_claims.py --claims stability --n-samples 16 \
    --methods mmnet mmnet-diagonal mmnet+ unrolling 4dvarnet metacurvature modgrad
python benchmarks/paper_claims.py --claims curvature --n-samples 16 --methods mmnet
python benchmarks/paper_claims.py --claims truth --n-samples 16 \
    --methods mmnet mmnet-diagonal mmnet-dilated mmnet-start mmnet-anchored

# with sums for all
python benchmarks/paper.py --train-only --trial --minutes 16 --root paper-sums \
    --methods unrolling+ 4dvarnet+ metacurvature+ modgrad+
python benchmarks/paper.py --train-only --trial --minutes 16 --root paper-sums \
    --methods unrolling+ --learning-rate-factor 0.5
python benchmarks/paper.py --train-only --trial --minutes 16 --root paper-sums \
    --methods mmnet+ --pretraining 0.85
python benchmarks/paper.py --train-only --trial --minutes 16 --root paper-sums \
    --methods lstm+ --kinds neural_mass
python benchmarks/paper.py --train-only --trial --minutes 8 --root paper-sums \
    --methods lstm+ --kinds sereega
python benchmarks/paper.py --test-only --n-samples 256 --lead-fields unseen --other-data \
    --root paper-sums --out benchmarks/results/paper_sums
python benchmarks/paper_curves.py --root paper-sums --out benchmarks/results/paper_sums
python benchmarks/paper_claims.py --claims stability --n-samples 16 \
    --methods mmnet+ 4dvarnet+ metacurvature+ modgrad+ \
    --root paper-sums --out benchmarks/results/paper_sums

# the nearest two for longer
python benchmarks/paper.py --train-only --trial --minutes 45 --root paper-long \
    --methods unrolling+ --learning-rate-factor 0.5
python benchmarks/paper.py --train-only --trial --minutes 45 --root paper-long \
    --methods mmnet+ --pretraining 0.85
python benchmarks/paper.py --test-only --n-samples 512 --lead-fields unseen --other-data \
    --methods mmnet+ unrolling+ --root paper-long --out benchmarks/results/paper_long
python benchmarks/paper_curves.py --root paper-long --out benchmarks/results/paper_long

# the network for use (its first table is of benchmarks/people.py without options, as on that page)
python benchmarks/people.py --methods mmnet-cosine sLORETA eLORETA --heads template \
    --montages biosemi64 --n-recordings 16 --out benchmarks/results/people_cosine
