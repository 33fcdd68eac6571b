/* Questions to many brokers at once.
 *
 * Offers: errands, each a request to one broker with what to do with the answer. Brokers work side
 * by side; a broker gets its next errand when the one before it was answered, so that neither side
 * waits for the other with full buffers. A broker that fails does no more errands of this list.
 * Uses: kafka/survey/survey, kafka/wire. Thread: that of the cluster. */
#ifndef RL_KAFKA_SURVEY_ERRAND_H
#define RL_KAFKA_SURVEY_ERRAND_H

#include "kafka/survey/survey.h"

typedef struct errand errand;

struct errand {
    int broker, api, version;
    void (*write)(frame_writer *w, const void *errand);
    /* A code of the broker's concerns what it was about and is noted as a failure; any other error
     * ends the work with this broker. */
    rl_err *(*take)(frame_reader *r, const errand *e);
    survey *survey;
    int64_t timestamp; /* these three of ListOffsets */
    bool committed;
    size_t field;
    int from, count; /* which places, groups or transactions */
};

typedef struct errands {
    errand *list;
    int count;
} errands;

/* Those of one broker are to stand together. */
errand *errands_add(errands *all, const errand *e);
/* Goes through with all of them, then frees the list. CANCELLED, or NULL. */
rl_err *errands_run(errands *all, wire_cluster *cluster, const wire_call *call);

/* Makes the places of the metadata. */
void survey_lay_out(survey *s);

/* ---- what they are about; each adds errands, or changes the survey by an answer ---- */

void survey_ask_offsets(survey *s, errands *all); /* places.c */
void survey_ask_producers(survey *s, errands *all);
void survey_ask_groups(survey *s, errands *all); /* groups.c: which there are */
void survey_ask_members(survey *s, errands *all);
void survey_ask_committed(survey *s, errands *all); /* committed.c */
void survey_free_groups(survey *s);
void survey_ask_txns(survey *s, errands *all); /* txns.c */
void survey_ask_starts(survey *s, errands *all);
void survey_join_txns(survey *s); /* by the producer that holds a place's LSO */

survey_place *survey_find(const survey *s, frame_slice topic, int partition);
void survey_sort_groups(survey *s); /* by coordinator, protocol, id; each is there once */
/* An errand for each stretch of groups of one coordinator and one protocol, not too many at once. */
void survey_each_stretch(survey *s, errands *all, void (*set)(errand *e, bool classic));
/* Among the groups of the errand. */
survey_group *survey_find_group(const errand *e, frame_slice id);
void survey_note(survey *s, int broker, bool silent, rl_err *err); /* takes the error */

#endif
