"""An Optuna study, behind ``OptunaOptimizer``: storage, trials in threads, stale ones, results and plots. No
Ray.
"""
