"""What a browser sees at `/`: parts that are put together to one page which needs nothing else."""
