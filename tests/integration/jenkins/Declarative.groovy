// SPDX-License-Identifier: MIT
/** As much of Declarative as a Jenkinsfile of ours uses: agent, environment, stages, steps. Like the real one it lets
 * no method be called on an object in `steps`, only steps and global variables. */
class Declarative {
    Controller controller
    Script script
    Map environment = [:]
    String wanted = 'any'

    static final String any = 'any', none = 'none'

    static void run(Controller controller, Script script, Closure body) {
        new Declarative(controller: controller, script: script).enter(body)
    }

    def enter(Closure body) {
        body.delegate = this
        body.resolveStrategy = Closure.DELEGATE_FIRST
        return body()
    }

    void agent(String which) {
        wanted = which
    }

    void environment(Closure body) {
        body.delegate = environment
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body()
    }

    void stages(Closure body) {
        List pairs = environment.collect { name, value -> "${name}=${value}".toString() }

        controller.withNode(wanted == 'any') {
            controller.step('withEnv', [pairs, { enter(body) }])
        }
    }

    void stage(String name, Closure body) {
        String outer = wanted

        controller.step('stage', [name, {
            wanted = 'outer'
            enter(body)
            wanted = outer
        }])
    }

    void steps(Closure body) {
        controller.withNode(wanted == 'any') {
            // `slipway` is found as a step only: slipway.build() has no object to be called on.
            body.delegate = new DeclarativeSteps(controller: controller, script: script)
            body.resolveStrategy = Closure.DELEGATE_ONLY
            body()
        }
    }
}
