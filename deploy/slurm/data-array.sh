#!/bin/sh
# The data stages as a Slurm array, then what is left by one task:
#
#   array=$(sbatch --parsable --array=0-15 deploy/slurm/data-array.sh)
#   sbatch --dependency=afterany:$array --export=ALL,SHARD=merge deploy/slurm/data-array.sh
#
# The working directory holds buril.yaml; it, the store and the sources lie on a file system that all nodes mount at the
# same path. A part that failed: sbatch --array=5 --export=ALL,SHARD=5/16 deploy/slurm/data-array.sh
#SBATCH --job-name=buril-data
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --requeue
set -eu
exec srun buril run "${STAGE:-prepare}" --shard "${SHARD:-auto}" --store "${BURIL_STORE:-.buril}"
