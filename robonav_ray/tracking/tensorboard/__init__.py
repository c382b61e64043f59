"""TensorBoard: event files and the projector's files in a run's directory, written without torch and TensorFlow.

::

    RUN/tensorboard/events.out.tfevents.TIME.HOST.PID      one a session; later ones hide what was lived through again
    RUN/tensorboard/projector_config.pbtxt  embeddings/    what the projector shows
"""
