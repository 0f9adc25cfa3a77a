"""What the command `bench` needs: systems in processes of their own, error rates, speed and memory."""
