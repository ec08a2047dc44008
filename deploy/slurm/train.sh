#!/bin/sh
# Training on several nodes, one torchrun on each:
#
#   sbatch --nodes=2 --gpus-per-node=8 deploy/slurm/train.sh
#
# The working directory holds buril.yaml; it, the store and the base model lie on a file system that all nodes mount at the
# same path. A job that was preempted or ran out of time: submit it again, it goes on from the last checkpoint.
#SBATCH --job-name=buril-train
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
set -eu
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
exec srun --kill-on-bad-exit=1 sh -c 'exec torchrun --nnodes="$SLURM_NNODES" --node-rank="$SLURM_NODEID" \
  --nproc-per-node="${SLURM_GPUS_ON_NODE:-1}" --master-addr="$1" --master-port="${MASTER_PORT:-29400}" \
  -m buril run --store "${BURIL_STORE:-.buril}"' sh "$first"
